"""``jhk8s doctor``: a configuration against the world."""
