"""Network I/O and nothing else: what to ask and what to make of it is decided elsewhere."""
