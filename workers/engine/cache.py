"""Keys and values of the positions that were read, in memory that is allocated once.

L layers, B rows, H heads, T positions, W width of a head
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

GRAIN = 16
"""Positions are attended to in multiples of this, a vector's length: with other numbers of them a
softmax adds up in another order, and a row's bits would depend on how far others have read."""


class Span:
    """The positions that some rows read in one go; the same for all layers."""

    def __init__(self, first: int, starts: Sequence[int], steps: int, device: torch.device) -> None:
        self.rows = slice(first, first + len(starts))
        self.batch, self.steps = len(starts), steps
        self.start = starts[0] if len(set(starts)) == 1 else None
        """Where all of them begin; None: not all at one place."""
        self.until = -(-(max(starts) + steps) // GRAIN) * GRAIN
        """They look at nothing from here on."""
        following = torch.arange(steps, device=device)
        self.positions = torch.tensor(starts, device=device)[:, None] + following
        """[B, T]"""
        self.lines = torch.arange(first, first + len(starts), device=device)[:, None]
        """Their lines of the cache: [B, 1]."""

    def mask(self, dtype: torch.dtype) -> torch.Tensor:
        """[B or 1, 1, T, until]: 0, or minus infinity for what comes later."""
        seen = self.positions if self.start is None else self.positions[:1]
        later = torch.arange(self.until, device=seen.device) > seen[..., None]
        mask = torch.zeros(later.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(later, -torch.inf)[:, None]


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

    def write(self, layer: int, span: Span, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep [B, T, H, W]."""
        for held, new in ((self.keys[layer], key), (self.values[layer], value)):
            if span.start is None:
                held[span.lines, :, span.positions] = new.to(held.dtype)
            else:  # some ten times as fast
                places = slice(span.start, span.start + span.steps)
                held[span.rows, :, places] = new.transpose(1, 2)

    def read(self, layer: int, span: Span) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the positions before `span.until`: views [B, H, until, W]."""
        until = span.until
        return self.keys[layer][span.rows, :, :until], self.values[layer][span.rows, :, :until]

    def clear(self, rows: slice) -> None:
        """Forget what these rows hold: a NaN of the last one's would reach the next."""
        for held in (*self.keys, *self.values):
            held[rows] = 0

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
