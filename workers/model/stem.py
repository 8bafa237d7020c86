"""A convolutional patch embedding: EfficientNet-Lite0's trunk (Tan & Le 2019, arXiv 1905.11946).

The Lite variants have no squeeze-and-excitation and ReLU6 for swish. Batch normalisation is folded
into the convolutions when the ImageNet weights are taken over, so none is left here.

B images, S side in pixels, W width of the ViT
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

STEM_CHANNELS = 32
# channels out, kernel, stride of the first block, expansion, number of blocks
STAGES = (
    (16, 3, 1, 1, 1),
    (24, 3, 2, 6, 2),
    (40, 5, 2, 6, 2),
    (80, 3, 2, 6, 3),
    (112, 5, 1, 6, 3),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)


class SamePaddedConv(nn.Conv2d):
    """A convolution whose output side is ceil(input side / stride), as TensorFlow pads it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for side in (input.shape[-1], input.shape[-2]):
            excess = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [excess // 2, excess - excess // 2]
        padded = functional.pad(input, padding)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = SamePaddedConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = features if self.expand is None else functional.relu6(self.expand(features))
        projected: torch.Tensor = self.project(functional.relu6(self.depthwise(hidden)))
        return features + projected if self.residual else projected


class EfficientNetLite0Stem(nn.Module):
    """[B, 3, S, S] → [B, W, S/32, S/32]: 16 blocks, then a linear map to W."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.entry = SamePaddedConv(3, STEM_CHANNELS, 3, 2)
        blocks, inputs = [], STEM_CHANNELS
        for outputs, kernel, stride, expansion, count in STAGES:
            for repeat in range(count):
                blocks.append(
                    InvertedResidual(inputs, outputs, kernel, 1 if repeat else stride, expansion)
                )
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.projection = nn.Conv2d(inputs, width, 1)

    @property
    def weight(self) -> torch.Tensor:
        """The tensor whose dtype the ViT asks its patch embedding for."""
        return self.projection.weight

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The trunk alone: [B, 3, S, S] → [B, 320, S/32, S/32]."""
        features = functional.relu6(self.entry(pixels))
        for block in self.blocks:
            features = block(features)
        return features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.projection(self.features(pixels))
        return projected
