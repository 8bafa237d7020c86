"""How good a checkpoint is, on pictures whose names are known."""
