"""Make one drawing look like many: backgrounds, placement, colour, outlines, blur.

B images, S side in pixels. All randomness comes from the generator that is handed in.
No mirroring of drawings: it breaks clocks, moons and arrows.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

GREY = torch.tensor([0.299, 0.587, 0.114])


def augment_drawings(rgba: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Drawings with transparency [B, 4, s, s] uint8 → pictures [B, 3, size, size] in 0..1."""
    batch = len(rgba)
    picture = rgba.float().div_(255)
    alpha = picture[:, 3:]
    premultiplied = torch.cat([picture[:, :3] * alpha, alpha], dim=1)
    premultiplied = _outlined(premultiplied, _chosen(batch, 0.35, generator), generator)
    grid = _placements(batch, size, (0.62, 1.12), 14, 0.12, generator)
    grid = grid + _bends(batch, size, generator)
    placed = functional.grid_sample(premultiplied, grid, "bilinear", "zeros", align_corners=False)
    colour, opacity = placed[:, :3], placed[:, 3:].clamp(0, 1)
    composed = colour + (1 - opacity) * _backgrounds(batch, size, generator)
    return _blurred(_recoloured(composed, generator), generator).clamp_(0, 1)


def augment_photos(rgb: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Photos [B, 3, s, s] uint8 → [B, 3, size, size] in 0..1: crop, mirror, recolour."""
    batch = len(rgb)
    grid = _placements(batch, size, (0.95, 1.3), 8, 0.1, generator)
    grid[..., 0] *= 1 - 2 * _chosen(batch, 0.5, generator).float()[:, None, None]
    pixels = rgb.float().div_(255)
    placed = functional.grid_sample(pixels, grid, "bicubic", "reflection", align_corners=False)
    return _recoloured(placed, generator, strength=0.5).clamp_(0, 1)


def _uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator
) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _chosen(batch: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(batch, generator=generator) < probability


def _placements(
    batch: int,
    size: int,
    scale: tuple[float, float],
    degrees: float,
    shift: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Sampling grids [B, size, size, 2] of a random similarity with a little stretch."""
    angle = _uniform(-degrees, degrees, (batch,), generator) * math.pi / 180
    zoom = 1 / _uniform(*scale, (batch,), generator)
    stretch = _uniform(0.9, 1.1, (batch,), generator)
    offset = _uniform(-shift, shift, (batch, 2), generator)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [
        torch.stack([cos * stretch, -sin, offset[:, 0]], dim=1),
        torch.stack([sin, cos / stretch, offset[:, 1]], dim=1),
    ]
    return functional.affine_grid(
        torch.stack(rows, dim=1), [batch, 1, size, size], align_corners=False
    )


def _bends(batch: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """Displacements [B, size, size, 2]: every artist draws the same thing in another shape."""
    strength = _uniform(0, 0.09, (batch, 1, 1, 1), generator)
    coarse = _uniform(-1, 1, (batch, 2, 4, 4), generator) * strength
    smooth = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1)


def _backgrounds(batch: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """[B, 3, size, size]: white for half of them, else one colour, a gradient or soft clouds."""
    ends = torch.rand(2, batch, 3, 1, 1, generator=generator)
    ramp = torch.linspace(0, 1, size).expand(batch, 1, size, size)
    turned = torch.where(_chosen(batch, 0.5, generator)[:, None, None, None], ramp, ramp.mT)
    ground = ends[0] + (ends[1] - ends[0]) * turned
    coarse = torch.rand(batch, 3, 6, 6, generator=generator)
    clouds = functional.interpolate(coarse, size=(size, size), mode="bilinear")
    kind = torch.rand(batch, generator=generator)[:, None, None, None]
    ground = torch.where(kind < 0.85, ground, clouds)
    ground = torch.where(kind < 0.7, ends[0].expand_as(ground), ground)
    return torch.where(kind < 0.5, torch.ones_like(ground), ground)


def _outlined(
    premultiplied: torch.Tensor, chosen: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Draw the chosen ones with dark contours, some of them as line art without colour."""
    index = chosen.nonzero().squeeze(1)
    if not len(index):
        return premultiplied
    part = premultiplied[index]
    light = (part[:, :3] * GREY.view(1, 3, 1, 1)).sum(1, keepdim=True)
    layers = torch.cat([light, part[:, 3:]], dim=1)
    width = 3 + 2 * int(torch.randint(0, 3, (1,), generator=generator))
    highest = functional.max_pool2d(layers, width, 1, width // 2)
    lowest = -functional.max_pool2d(-layers, width, 1, width // 2)
    contrast = (highest - lowest).amax(1, keepdim=True)
    ink = ((contrast - 0.22) * 6).clamp(0, 1)
    flat = torch.rand(len(index), 1, 1, 1, generator=generator)
    fill = part.clone()
    fill[:, :3] = torch.where(flat < 0.35, part[:, 3:], part[:, :3])
    drawn = fill * (1 - ink)
    drawn[:, 3:] = torch.maximum(part[:, 3:], ink)
    result = premultiplied.clone()
    result[index] = drawn
    return result


def _recoloured(
    picture: torch.Tensor, generator: torch.Generator, strength: float = 1.0
) -> torch.Tensor:
    """Brightness, contrast, saturation, a cast of colour; a few become grey."""
    batch = len(picture)

    def around_one(spread: float) -> torch.Tensor:
        return 1 + strength * _uniform(-spread, spread, (batch, 1, 1, 1), generator)

    grey = (picture * GREY.view(1, 3, 1, 1)).sum(1, keepdim=True)
    saturation = around_one(0.5)
    saturation[_chosen(batch, 0.06 * strength, generator)] = 0
    picture = grey + (picture - grey) * saturation
    mean = picture.mean(dim=(1, 2, 3), keepdim=True)
    picture = mean + (picture - mean) * around_one(0.3)
    cast = 1 + strength * _uniform(-0.12, 0.12, (batch, 3, 1, 1), generator)
    return picture * around_one(0.2) * cast


def _blurred(picture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Some pictures pass through fewer pixels, as small or badly scaled files did."""
    chosen = _chosen(len(picture), 0.25, generator)
    if not chosen.any():
        return picture
    size = picture.shape[-1]
    small = int(torch.randint(size // 4, size // 2 + 1, (1,), generator=generator))
    less = functional.interpolate(picture[chosen], size=(small, small), mode="area")
    picture = picture.clone()
    picture[chosen] = functional.interpolate(less, size=(size, size), mode="bilinear")
    return picture
