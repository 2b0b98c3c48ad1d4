"""POSIX identities, homes and environments for JupyterHub users on Kubernetes."""

from jhk8s_ext.identity import Group, Profile

__version__ = "0.1.0"

__all__ = ["Group", "Profile", "__version__"]
