"""Keys and values of the positions that were read, in memory that is allocated once.

L layers, B rows, H heads, T positions, W width of a head
"""

from __future__ import annotations

import torch

GRAIN = 16
"""Positions are attended to in multiples of this."""


class KVCache:
    """Rows of keys and values; the engine keeps those that are under way at the front."""

    def __init__(
        self,
        layers: int,
        rows: int,
        heads: int,
        positions: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (rows, heads, -(-positions // GRAIN) * GRAIN, width)
        # Zeros: what is not written yet is masked, but a NaN would outlive that.
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    @property
    def rows(self) -> int:
        return self.keys[0].shape[0]

    @property
    def positions(self) -> int:
        """A multiple of `GRAIN`."""
        return self.keys[0].shape[2]

    def write(
        self,
        layer: int,
        rows: torch.Tensor,
        positions: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
    ) -> None:
        """Keep [B, T, H, W] at the cache's `rows` [B, 1] and `positions` [B, T]."""
        held = self.keys[layer]
        held[rows, :, positions] = key.to(held.dtype)
        self.values[layer][rows, :, positions] = value.to(held.dtype)

    def read(self, layer: int, rows: slice, until: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the positions before `until`: views [B, H, until, W]."""
        return self.keys[layer][rows, :, :until], self.values[layer][rows, :, :until]

    def move(self, source: int, target: int, positions: int) -> None:
        """Row `target` becomes what row `source` is, as far as its first `positions`."""
        for held in (*self.keys, *self.values):
            held[target, :, :positions] = held[source, :, :positions]

    def copy(self, other: KVCache, rows: slice) -> None:
        """All rows of `other`, or its only one for each, at the start of `rows`."""
        until = min(self.positions, other.positions)
        for held, given in zip(
            (*self.keys, *self.values), (*other.keys, *other.values), strict=True
        ):
            held[rows, :, :until] = given[:, :, :until]
