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
    images: Sequence[Image.Image], size: int, mean: Sequence[float], std: Sequence[float]
) -> npt.NDArray[np.float32]:
    """RGB images as float32 [B, 3, size, size]: bicubic straight to size², /255, (x - mean) / std.

    The aspect ratio is not kept and nothing is cropped, as in the authors' processor. Bit-identical
    to transformers' `BlipImageProcessor` with `resample=BICUBIC`. In memory a pixel's channels lie
    side by side.
    """
    batch = np.empty((len(images), size, size * 3), np.float32)
    # Whole rows: over a last axis of three numpy takes ten times as long.
    means, deviations = (np.tile(np.asarray(values, np.float32), size) for values in (mean, std))
    for image, pixels in zip(images, batch, strict=True):
        pixels[...] = np.asarray(resize(image, size)).reshape(size, -1)
        pixels /= np.float32(255)
        pixels -= means
        pixels /= deviations
    return batch.reshape(-1, size, size, 3).transpose(0, 3, 1, 2)
