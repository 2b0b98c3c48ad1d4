"""The ``jhk8s`` command: what an operator asks beside a running hub."""
