"""oneDNN's own operators, where they are faster than what torch chooses on a CPU.

A linear layer in fp32 goes to MKL otherwise, which on AMD reaches half of oneDNN's rate, and gives
a row other bits in a small batch than in a large one. What these give a row or an image does not
depend on those beside it, from two rows on, bit for bit (docs/log.md).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def fuses(values: torch.Tensor) -> bool:
    """Whether oneDNN takes these: on a CPU that knows their dtype, with no gradients asked for."""
    if torch.is_grad_enabled() or values.device.type != "cpu":
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    if values.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return values.dtype == torch.float32


class Linear(nn.Linear):
    """x @ weight.T + bias, with the parameters of another linear layer."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(
            linear.in_features, linear.out_features, linear.bias is not None, device="meta"
        )
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not fuses(input):
            return functional.linear(input, self.weight, self.bias)
        return self._product(input, "none", "")

    def gelu(self, input: torch.Tensor) -> torch.Tensor:
        """The GELU by a hyperbolic tangent of what `forward` gives, in one pass."""
        if not fuses(input):
            return functional.gelu(self(input), approximate="tanh")
        return self._product(input, "gelu", "tanh")

    def _product(self, input: torch.Tensor, activation: str, how: str) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            input, self.weight, self.bias, activation, [], how
        )
        return product


def use_onednn(model: nn.Module) -> None:
    """Every linear layer within `model` becomes a `Linear` with the same parameters."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, Linear(child))
