"""Bytes to pixels: numpy and Pillow, nothing else."""

from workers.images.decode import decode, format_of, to_rgb
from workers.images.preprocess import preprocess, resize

__all__ = ["decode", "format_of", "preprocess", "resize", "to_rgb"]
