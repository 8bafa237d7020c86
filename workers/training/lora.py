"""Low-rank adapters on the attention of Phi (arXiv 2106.09685; the authors' r = 64, alpha = 16)."""

from __future__ import annotations

import math

import torch
from torch import nn


class LoraLinear(nn.Module):
    """y = W x + b + (alpha / r) B A x, with W and b frozen; B starts at zero.

    The adapter lies where `base` lies.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.scaling = alpha / rank
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        adapted: torch.Tensor = self.base(hidden)
        return adapted + self.scaling * (hidden @ self.lora_a.T @ self.lora_b.T)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The plain layer that computes the same."""
        self.base.weight += self.scaling * (self.lora_b @ self.lora_a)
        return self.base


ADAPTED = ("q_proj", "k_proj", "v_proj", "dense")


def add_lora(attentions: list[nn.Module], rank: int, alpha: float) -> None:
    """Put an adapter on the query, key, value and output projection of each attention."""
    for attention in attentions:
        for name in ADAPTED:
            setattr(attention, name, LoraLinear(getattr(attention, name), rank, alpha))


def merge_lora(attentions: list[nn.Module]) -> None:
    """Fold every adapter into its layer and take it away."""
    for attention in attentions:
        for name in ADAPTED:
            layer = getattr(attention, name)
            if isinstance(layer, LoraLinear):
                setattr(attention, name, layer.merged())
