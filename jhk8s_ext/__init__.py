"""POSIX identities, homes and environments for JupyterHub users on Kubernetes."""

__version__ = "0.1.0"
