"""The moving average of the weights."""

import torch
from torch import nn

from workers.training.average import DECAY, MovingAverage


def test_it_forgets_the_start_and_follows_slowly() -> None:
    """At first it is nearly the last weights; later a step moves it by 1 - DECAY of the way."""
    layer = nn.Linear(1, 1, bias=False)
    average = MovingAverage(layer)
    with torch.no_grad():
        layer.weight.fill_(5.0)
    for step in range(20_000):
        average.update(layer, step)
    assert torch.allclose(average.state["weight"], torch.tensor([[5.0]]), atol=1e-3)
    with torch.no_grad():
        layer.weight.fill_(6.0)
    average.update(layer, 20_000)
    moved = float(average.state["weight"]) - 5.0
    assert abs(moved - (1 - DECAY)) < 2e-4


def test_a_saved_average_goes_on() -> None:
    """It starts at what was saved, not at the module's weights, and shares no memory with them."""
    layer = nn.Linear(2, 2)
    saved = {name: value + 1 for name, value in layer.state_dict().items()}
    average = MovingAverage(layer, saved)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    assert torch.equal(average.state["weight"], saved["weight"])
