"""Low-rank adapters."""

import torch
from torch import nn

from workers.training.lora import LoraLinear


def test_a_new_adapter_changes_nothing() -> None:
    """Before training, the adapted layer computes what its base does."""
    base = nn.Linear(6, 5)
    hidden = torch.randn(3, 6)
    assert torch.equal(LoraLinear(base, rank=2, alpha=4)(hidden), base(hidden))


def test_merging_keeps_the_function() -> None:
    """The merged layer computes W x + b + (alpha / r) B A x."""
    torch.manual_seed(0)
    layer = LoraLinear(nn.Linear(6, 5), rank=2, alpha=4)
    nn.init.normal_(layer.lora_b)
    hidden = torch.randn(3, 6)
    expected = layer(hidden)
    merged = layer.merged()
    assert type(merged) is nn.Linear
    assert torch.allclose(merged(hidden), expected, atol=1e-6)


def test_only_the_adapter_learns() -> None:
    """The base's weights receive no gradient."""
    layer = LoraLinear(nn.Linear(6, 5), rank=2, alpha=4)
    layer(torch.randn(3, 6)).sum().backward()
    assert layer.base.weight.grad is None
    assert layer.lora_b.grad is not None


def test_an_adapter_lies_where_its_layer_lies() -> None:
    """Adapters that are added on a device are on that device."""
    layer = LoraLinear(nn.Linear(4, 4, device="meta"), rank=2, alpha=1)
    assert {parameter.device.type for parameter in layer.parameters()} == {"meta"}
