"""Convolutions and linear layers, by oneDNN and by torch."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from workers.model.onednn import Linear, use_onednn
from workers.model.stem import EfficientNetLite0Stem, SamePaddedConv


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_do_not_depend_on_their_number(dtype: torch.dtype) -> None:
    """A row's product has the same bits among any number of rows, from two on."""
    layer = Linear(nn.Linear(192, 768)).to(dtype).requires_grad_(False)
    rows = torch.randn(40, 192, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.inference_mode():
        whole = layer(rows)
        for count in range(2, 40):
            assert torch.equal(layer(rows[:count]), whole[:count]), count
            assert torch.equal(layer(rows[-count:]), whole[-count:]), count


def test_a_linear_layer_keeps_its_parameters() -> None:
    """Names, parameters and values stay; gradients come as before."""
    plain = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2, bias=False)))
    before = dict(plain.named_parameters())
    values = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    expected = plain(values).detach()
    use_onednn(plain)
    assert isinstance(plain[0], Linear) and isinstance(plain[2][0], Linear)
    after = dict(plain.named_parameters())
    assert list(after) == list(before) and all(after[name] is before[name] for name in after)
    with torch.inference_mode():
        assert torch.allclose(plain(values), expected, atol=1e-6)
    plain(values).sum().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("clamped", [True, False])
def test_a_fused_convolution_is_padded_like_any_other(
    kernel: int, stride: int, clamped: bool
) -> None:
    """Odd and even sides: what one pass gives is a padded convolution, and what follows it."""
    generator = torch.Generator().manual_seed(0)
    conv = SamePaddedConv(16, 16, kernel, stride, groups=16, clamped=clamped)
    for rows, columns in itertools.product((7, 8), (15, 16)):
        input = 9 * torch.randn(2, 16, rows, columns, generator=generator)
        excess = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (columns, rows)]
        around = [side for n in excess for side in (n // 2, n - n // 2)]
        expected = functional.conv2d(
            functional.pad(input, around), conv.weight, conv.bias, stride, groups=16
        )
        added = None if clamped else torch.randn(expected.shape, generator=generator)
        expected = functional.relu6(expected) if added is None else expected + added
        assert torch.allclose(conv(input, added), expected, atol=1e-4)
        with torch.inference_mode():
            assert torch.allclose(conv(input, added), expected, atol=1e-4)


def test_images_in_pieces_are_images() -> None:
    """So many pixels that they go through the trunk piece by piece, and an image that is more."""
    stem = EfficientNetLite0Stem(width=8)
    generator = torch.Generator().manual_seed(0)
    for shape in ((5, 3, 256, 256), (1, 3, 544, 512)):
        pixels = torch.randn(*shape, generator=generator)
        with torch.inference_mode():
            fused = stem(pixels)
        assert torch.allclose(fused, stem(pixels), atol=1e-4)
