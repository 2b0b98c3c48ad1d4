"""What makes a JupyterHub user's container theirs before the notebook server starts."""

__version__ = "0.1.0"
