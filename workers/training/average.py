"""A moving average of the weights, which sees further than the last steps' weights do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

DECAY = 0.998
"""Weights of 500 steps ago count 1/e."""


class MovingAverage:
    """Exponential moving average of a module's state; starts as the state itself."""

    def __init__(self, module: nn.Module, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """`state` is a saved average to go on from."""
        self.state = {
            name: value.detach().clone() for name, value in (state or module.state_dict()).items()
        }

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps; early on the average is of few steps."""
        weight = 1 - min(DECAY, (1 + step) / (10 + step))
        now = module.state_dict()
        names = [name for name, value in self.state.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.state[name] for name in names], [now[name] for name in names], weight
        )
