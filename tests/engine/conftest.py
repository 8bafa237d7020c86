"""The language model that the engine runs in its tests."""

import pytest

from tests.checkpoints import tiny_model
from workers.model import TinyGPTV
from workers.model.decoding import PhiDecoder


@pytest.fixture(scope="module")
def model() -> TinyGPTV:
    return tiny_model().requires_grad_(False)


@pytest.fixture(scope="module")
def decoder(model: TinyGPTV) -> PhiDecoder:
    return PhiDecoder(model.language_model)
