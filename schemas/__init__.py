"""The vocabulary: pure values that every other package speaks. Imports neither torch nor ray."""
