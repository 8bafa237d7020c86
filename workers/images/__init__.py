"""Bytes to pixels: numpy and Pillow, nothing else."""

from workers.images.decode import decode, to_rgb
from workers.images.preprocess import preprocess, resize

__all__ = ["decode", "preprocess", "resize", "to_rgb"]
