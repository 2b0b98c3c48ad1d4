"""``jhk8s demo``: a hub to try on one computer, with a local runner in the place of Kubernetes."""
