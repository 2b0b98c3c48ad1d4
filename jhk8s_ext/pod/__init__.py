"""What the pod holds: pure functions from a profile and settings to pieces of a manifest."""
