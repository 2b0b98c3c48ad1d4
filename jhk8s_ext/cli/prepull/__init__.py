"""``jhk8s prepull``: images on the nodes before somebody waits for them."""
