"""EfficientNet-Lite0's trunk as one writes it with torch alone: `pocket` embeds patches with it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from workers.model.stem import STAGES, STEM_CHANNELS


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: the output's side is ceil(side / stride)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[B, C, S, S] → [B, C', S', S']."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for side in (input.shape[-1], input.shape[-2]):
            excess = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [excess // 2, excess - excess // 2]
        if any(padding):
            input = functional.pad(input, padding)
        return functional.conv2d(input, self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """Expand, filter each channel by itself, project; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, C, S, S] → [B, C', S', S']."""
        hidden = features if self.expand is None else functional.relu6(self.expand(features))
        projected: torch.Tensor = self.project(functional.relu6(self.depthwise(hidden)))
        return features + projected if self.residual else projected


class PlainStem(nn.Module):
    """[B, 3, S, S] → [B, W, S/32, S/32], its parameters named as in the checkpoint."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.entry = SameConv(3, STEM_CHANNELS, 3, 2)
        blocks, inputs = [], STEM_CHANNELS
        for outputs, kernel, stride, expansion, count in STAGES:
            for repeat in range(count):
                blocks.append(Block(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.projection = nn.Conv2d(inputs, width, 1)

    @property
    def weight(self) -> torch.Tensor:
        """Whose dtype the ViT asks its patch embedding for."""
        return self.projection.weight

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, S, S] → [B, W, S/32, S/32]."""
        features = functional.relu6(self.entry(pixels))
        for block in self.blocks:
            features = block(features)
        projected: torch.Tensor = self.projection(features)
        return projected
