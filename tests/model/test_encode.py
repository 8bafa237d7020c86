"""What the shipped checkpoint sees of an image, on a CPU."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from workers.model import TinyGPTV
from workers.model.description import checkpoint_folder

PRECISIONS = ["none", "bf16", "int8"]


@pytest.fixture(scope="module", params=PRECISIONS)
def pocket(request: pytest.FixtureRequest) -> TinyGPTV:
    return TinyGPTV.from_pretrained(checkpoint_folder("pocket"), quant=request.param)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """So many of torch's threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def noise(count: int) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 40, 50, 3), dtype=np.uint8)
    return [Image.fromarray(picture) for picture in pixels]


@pytest.mark.usefixtures("threads")
def test_the_batch_does_not_change_a_bit(pocket: TinyGPTV) -> None:
    """An image's features are the same bits in batches of any size, at any place."""
    images = noise(33)
    whole = pocket.encode(images).embeds
    for count in (1, 2, 7, 16):
        for first in (0, 9, 33 - count):
            some = pocket.encode(images[first : first + count]).embeds
            assert torch.equal(some, whole[first : first + count]), (count, first)


def test_it_is_what_torch_computes_without_fusing(pocket: TinyGPTV) -> None:
    """Fused or not, with gradients asked for or not: the same numbers but for rounding, which is to
    16 or 8 bits in all precisions but one.
    """
    images = noise(3)
    fused = pocket.encode(images).embeds.float()
    pixels = torch.from_numpy(pocket._preprocess(images)).to(pocket.query_tokens.dtype)
    with torch.enable_grad():
        plain = pocket.encode_images(pixels).detach().float()
    error = (fused - plain).norm() / plain.norm()
    assert error < (1e-5 if pocket.quantization == "none" else 0.05)
