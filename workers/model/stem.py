"""A convolutional patch embedding: EfficientNet-Lite0's trunk (Tan & Le 2019, arXiv 1905.11946).

The Lite variants have no squeeze-and-excitation and ReLU6 for swish. Batch normalisation is folded
into the convolutions when the ImageNet weights are taken over, so none is left here.

Where no gradients are asked for, a CPU computes a convolution and what follows it in one pass of
oneDNN, channels last, as many images at a time as the cache holds (docs/log.md has the figures).
What an image gives does not depend on those beside it, bit for bit.

B images, S side in pixels, W width of the ViT
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from workers.model.onednn import fuses

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
PIXELS_AT_A_TIME = 16 * 128 * 128
"""Of the images that go through the trunk together on a CPU: what they become fits its cache."""


class SamePaddedConv(nn.Conv2d):
    """A convolution whose output side is ceil(input side / stride), as TensorFlow pads it.

    ReLU6 follows it if it is `clamped`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        clamped: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        self.clamped = clamped

    def forward(self, input: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """What `input` gives; `added`, of the output's shape, is for those that are not clamped."""
        kernel, padding = self._centred(input)
        if fuses(input):
            return self._fused(input, kernel, padding, added)
        output = functional.conv2d(
            input, kernel, self.bias, self.stride, padding, groups=self.groups
        )
        output = functional.relu6(output) if self.clamped else output
        return output if added is None else added + output

    def _centred(self, input: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """The kernel, and the padding of rows and columns, which is the same on both sides.

        Where one more is wanted behind than before, the kernel begins with zeros instead, which
        cost less than a padded copy of the input.
        """
        padding, leading = [], []
        for side, kernel, stride in zip(
            input.shape[-2:], self.kernel_size, self.stride, strict=True
        ):
            excess = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding.append(excess - excess // 2)
            leading.append(excess % 2)
        if not any(leading):
            return self.weight, padding
        return functional.pad(self.weight, (leading[1], 0, leading[0], 0)), padding

    def _fused(
        self,
        input: torch.Tensor,
        kernel: torch.Tensor,
        padding: list[int],
        added: torch.Tensor | None,
    ) -> torch.Tensor:
        convolve = torch.ops.mkldnn._convolution_pointwise
        shape = (kernel, self.bias, padding, self.stride, self.dilation, self.groups)
        output: torch.Tensor
        if added is not None:
            output = convolve.binary(input, added, *shape, "add", 1.0, None, [], None)
        elif self.clamped:
            output = convolve(input, *shape, "hardtanh", [0, 6], "")
        else:
            output = convolve(input, *shape, "none", [], "")
        return output


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = SamePaddedConv(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = SamePaddedConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SamePaddedConv(hidden, outputs, 1, clamped=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = features if self.expand is None else self.expand(features)
        projected: torch.Tensor = self.project(
            self.depthwise(hidden), features if self.residual else None
        )
        return projected


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
        self.projection = SamePaddedConv(inputs, width, 1, clamped=False)

    @property
    def weight(self) -> torch.Tensor:
        """The tensor whose dtype the ViT asks its patch embedding for."""
        return self.projection.weight

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The trunk alone: [B, 3, S, S] → [B, 320, S/32, S/32]."""
        if not fuses(pixels):
            return self._trunk(pixels)
        rows, columns = pixels.shape[-2:]
        together = max(PIXELS_AT_A_TIME // (rows * columns), 1)
        pieces = pixels.contiguous(memory_format=torch.channels_last).split(together)
        return torch.cat([self._trunk(piece) for piece in pieces])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.projection(self.features(pixels))
        return projected

    def _trunk(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.entry(pixels)
        for block in self.blocks:
            features = block(features)
        return features
