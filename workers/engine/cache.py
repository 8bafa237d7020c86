"""Keys and values of the positions that were read, in memory that is allocated once.

L layers, B rows, H heads, T positions, W width of a head, R nodes, P nodes on a path
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

GRAIN = 16
"""Positions are attended to in multiples of this, a vector's length: with other numbers of them a
softmax adds up in another order, and a row's bits would depend on how far others have read."""
BLOCK = 128
"""Positions of a prompt that branches attend to at a time: they grow from a multiple of it on."""


def up_to(positions: int, grain: int) -> int:
    """The least multiple of `grain` that is no less."""
    return -(-positions // grain) * grain


class Span:
    """The positions that some rows read in one go; the same for all layers."""

    def __init__(self, first: int, starts: Sequence[int], steps: int, device: torch.device) -> None:
        self.rows = slice(first, first + len(starts))
        self.batch, self.steps = len(starts), steps
        self.start = starts[0] if len(set(starts)) == 1 else None
        """Where all of them begin; None: not all at one place."""
        self.until = up_to(max(starts) + steps, GRAIN)
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


@dataclass(frozen=True)
class Node:
    """A token that is read after a prompt, beside others."""

    line: int
    """Its row of the cache."""
    token: int
    path: tuple[int, ...]
    """Where the cache holds the tokens between the prompt and this one, and itself at the end."""


class Branches:
    """Trees of tokens that grow from the prompts of a cache's rows, read in one go.

    A node sees its row's prompt and the nodes on its path. For attention the R nodes lie in tiles:
    T places a row, some of them empty.
    """

    def __init__(
        self, nodes: Sequence[Node], starts: Sequence[int], base: int, device: torch.device
    ) -> None:
        """Row b's prompt has `starts[b]` positions, all before `base`."""
        self.batch, self.base = len(starts), base
        lines = np.array([node.line for node in nodes])
        counts = np.bincount(lines, minlength=self.batch)
        self.tile = up_to(int(counts.max()), GRAIN)
        """T"""
        by_line = np.argsort(lines, kind="stable")
        place = np.empty_like(lines)
        place[by_line] = np.arange(len(nodes)) - (counts.cumsum() - counts)[lines[by_line]]
        tiled = lines * self.tile + place
        depths = np.array([len(node.path) for node in nodes])
        paths = np.full((self.batch * self.tile, int(depths.max())), -1)
        for node, at in zip(nodes, tiled, strict=True):
            paths[at, : len(node.path)] = node.path

        def given(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).to(device)

        self.starts = given(np.array(starts))
        self.lines = given(lines)
        self.places = given(np.array([node.path[-1] for node in nodes]))
        """Where their keys and values go: [R]."""
        self.positions = given(np.array(starts)[lines] + depths - 1)
        """How many positions come before each: [R]."""
        self.tiled = given(tiled)
        """Their places in the tiles, row after row: [R]."""
        self.paths = given(paths).view(self.batch, self.tile, -1)
        """[B, T, P], -1 behind a path's end."""

    def prompt_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """[B, 1, 1, base]: 0, or minus infinity behind the prompt's end."""
        behind = torch.arange(self.base, device=self.starts.device) >= self.starts[:, None]
        mask = torch.zeros(behind.shape, dtype=dtype, device=behind.device)
        return mask.masked_fill_(behind, -torch.inf)[:, None, None]

    def path_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """[B, 1, T, P]: 0, or minus infinity behind the path's end."""
        mask = torch.zeros(self.paths.shape, dtype=dtype, device=self.paths.device)
        return mask.masked_fill_(self.paths < 0, -torch.inf)[:, None]


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
        shape = (rows, heads, up_to(positions, GRAIN), width)
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

    @property
    def device(self) -> torch.device:
        return self.keys[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.keys[0].dtype

    def write(self, layer: int, span: Span, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep [B, T, H, W]."""
        for held, new in ((self.keys[layer], key), (self.values[layer], value)):
            if span.start is None:
                held[span.lines, :, span.positions] = new.to(held.dtype)
            else:  # some ten times as fast
                places = slice(span.start, span.start + span.steps)
                held[span.rows, :, places] = new.transpose(1, 2)

    def read(self, layer: int, rows: slice, until: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the positions before `until`: views [B, H, until, W]."""
        return self.keys[layer][rows, :, :until], self.values[layer][rows, :, :until]

    def write_nodes(
        self, layer: int, branches: Branches, key: torch.Tensor, value: torch.Tensor
    ) -> None:
        """Keep [R, H, W]."""
        for held, new in ((self.keys[layer], key), (self.values[layer], value)):
            held[branches.lines, :, branches.places] = new.to(held.dtype)

    def read_paths(self, layer: int, branches: Branches) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values along the paths: [B, T, P, H, W]; anything behind a path's end."""
        lines = torch.arange(branches.batch, device=self.device)[:, None, None]
        places = branches.paths.clamp_min(branches.base)
        return self.keys[layer][lines, :, places], self.values[layer][lines, :, places]

    def clear(self, rows: slice) -> None:
        """Forget what these rows hold: a NaN of the last one's would reach the next."""
        for held in (*self.keys, *self.values):
            held[rows] = 0

    def move(self, source: int, target: int, positions: int) -> None:
        """Row `target` becomes what row `source` is, as far as its first `positions`."""
        self.take(self, source, slice(target, target + 1), positions)

    def take(self, other: KVCache, source: int, rows: slice, positions: int) -> None:
        """Each of `rows` becomes row `source` of `other`, as far as its first `positions`."""
        for held, given in zip(
            (*self.keys, *self.values), (*other.keys, *other.values), strict=True
        ):
            held[rows, :, :positions] = given[source, :, :positions]

    def copy(self, other: KVCache) -> None:
        """All rows of `other`, which is no larger."""
        for held, given in zip(
            (*self.keys, *self.values), (*other.keys, *other.values), strict=True
        ):
            held[: other.rows, :, : other.positions] = given
