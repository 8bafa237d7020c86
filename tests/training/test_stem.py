"""The pocket checkpoint's patch embedding, and taking over ImageNet's weights."""

import torch
from torch import nn
from torch.nn import functional

from workers.model.stem import EfficientNetLite0Stem, SamePaddedConv
from workers.training.pretrained_stem import BATCH_NORM_EPS, imagenet_weights, load_imagenet


def test_folding_keeps_the_function() -> None:
    """A folded convolution computes what the convolution and its batch normalisation did."""
    weights = imagenet_weights()
    stem = EfficientNetLite0Stem(width=8).eval()
    load_imagenet(stem, weights)
    norm = nn.BatchNorm2d(32, eps=BATCH_NORM_EPS).eval()
    norm.load_state_dict(
        {key.removeprefix("_bn0."): value for key, value in weights.items() if key[:5] == "_bn0."}
    )
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    padded = functional.pad(pixels, (0, 1, 0, 1))
    convolved = norm(functional.conv2d(padded, weights["_conv_stem.weight"], stride=2))
    assert torch.allclose(stem.entry(pixels), functional.relu6(convolved), atol=1e-4)


def test_every_imagenet_weight_has_its_place() -> None:
    """All convolutions of the trunk are filled; only the classifier's end is left over."""
    weights = imagenet_weights()
    stem = EfficientNetLite0Stem(width=8)
    for parameter in stem.parameters():
        nn.init.constant_(parameter, float("nan"))
    load_imagenet(stem, weights)
    unfilled = {name for name, p in stem.named_parameters() if p.isnan().any()}
    assert unfilled == {"projection.weight", "projection.bias"}


def test_output_side_is_the_ceiling() -> None:
    """A padded convolution's output side is ceil(input / stride), for odd and even sides."""
    for side in (7, 8, 15, 16):
        for kernel in (3, 5):
            conv = SamePaddedConv(1, 1, kernel, 2)
            assert conv(torch.zeros(1, 1, side, side)).shape[-1] == -(-side // 2)
