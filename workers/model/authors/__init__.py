"""The authors' files: their names, their containers, their variants (CHECKPOINTS.md)."""
