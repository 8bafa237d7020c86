"""An RGB image to the numbers that the vision tower reads (SPEC.md §1.1)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image


def resize(image: Image.Image, size: int) -> Image.Image:
    """`image` at size², bicubic. Once resized it stays as it is: `preprocess` gives the same pixels
    for it, so that whoever holds many images can hold small ones."""
    return image.resize((size, size), Image.Resampling.BICUBIC)


def preprocess(
    image: Image.Image, size: int, mean: Sequence[float], std: Sequence[float]
) -> npt.NDArray[np.float32]:
    """`image` (RGB) as float32 [3, size, size]: bicubic straight to size², /255, (x - mean) / std.

    The aspect ratio is not kept and nothing is cropped, as in the authors' processor. Bit-identical
    to transformers' `BlipImageProcessor` with `resample=BICUBIC`.
    """
    pixels = np.asarray(resize(image, size), dtype=np.float32) / np.float32(255)  # [S, S, 3]
    normalised = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))  # [3, S, S]
