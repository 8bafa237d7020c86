"""Training of the shipped pocket checkpoint."""
