"""What may be chosen: pure code that decides, and never applies."""
