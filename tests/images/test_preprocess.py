"""The pixels that the vision tower reads are the authors' pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from workers.images import decode, preprocess, resize

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
GOLDEN = Path(__file__).parent.parent / "parity" / "data"


@pytest.mark.parametrize("name", ["golden_A", "golden_B"])
def test_the_golden_picture_is_reproduced(name: str) -> None:
    """The authors' own processor gives the same tensor, bit by bit (SPEC.md §1.1)."""
    with safe_open(GOLDEN / f"{name}.safetensors", "np") as golden:
        expected = golden.get_tensor("in.images")[0]
    image = decode((GOLDEN / f"{name}.png").read_bytes())
    pixels = preprocess([image], expected.shape[1], CLIP_MEAN, CLIP_STD)[0]
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (448, 448), (700, 31)])
@pytest.mark.parametrize("size", [64, 224, 448])
def test_transformers_gives_the_same_bits(shape: tuple[int, int], size: int) -> None:
    """Any shape, enlarged or reduced, equals transformers' BLIP processor bit by bit."""
    noise = np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    processor = BlipImageProcessorPil(
        size={"height": size, "width": size}, resample=Image.Resampling.BICUBIC
    )
    expected = processor(image, return_tensors="np")["pixel_values"][0]
    pixels = preprocess([image], size, CLIP_MEAN, CLIP_STD)[0]
    assert pixels.shape == (3, size, size)
    assert np.array_equal(pixels, expected)


def test_an_image_that_was_resized_before_keeps_its_bits() -> None:
    """Resizing in a thread that reads ahead gives the pixels that the whole image gives."""
    noise = np.random.default_rng(0).integers(0, 256, (97, 130, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    small = resize(image, 56)
    assert small.size == (56, 56)
    whole, resized = preprocess([image, small], 56, CLIP_MEAN, CLIP_STD)
    assert np.array_equal(resized, whole)
