"""Prompts are read into a cache: what rows have in common once, the rest row by row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import torch

from workers.engine.cache import KVCache
from workers.engine.decoder import Decoder, Row, Stem

HEADS = 8
"""So many beginnings of prompts are kept for the next images."""

Item = TypeVar("Item")


class Heads:
    """What stands before the image, read once for all images."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._held: OrderedDict[tuple[int, ...], KVCache] = OrderedDict()

    def of(self, ids: tuple[int, ...]) -> KVCache:
        """A cache of one row that holds them; there is at least one."""
        if ids not in self._held:
            cache = self._decoder.new_cache(1, len(ids))
            embeds = self._decoder.embed(torch.tensor([ids], device=cache.device))
            self._decoder.extend(embeds, cache, 0, [0])
            self._held[ids] = cache
        self._held.move_to_end(ids)
        if len(self._held) > HEADS:
            self._held.popitem(last=False)
        return self._held[ids]


class Stems:
    """The images of some rows, read once each, and kept as long as those rows need them.

    They are read apart from what follows even where one row alone begins with them: in fp32 the
    bits of one pass over both are others, and a row's would depend on what else is asked.
    """

    def __init__(self, decoder: Decoder, heads: Heads, rows: Iterable[Row]) -> None:
        stems = list(dict.fromkeys(row.stem for row in rows))
        self._decoder = decoder
        self._cache = decoder.new_cache(len(stems), max(map(len, stems), default=0))
        self._lines: dict[Stem, int] = {}
        self._last: dict[Stem, torch.Tensor] = {}
        for (head, _), alike in _alike(stems, lambda stem: (stem.head, len(stem.embeds))):
            first = len(self._lines)
            lines = slice(first, first + len(alike))
            if head:
                self._cache.take(heads.of(head), 0, lines, len(head))
            embeds = torch.stack([stem.embeds for stem in alike])
            read = decoder.extend(embeds, self._cache, first, [len(head)] * len(alike))
            for stem, last in zip(alike, read[:, -1], strict=True):
                self._lines[stem] = len(self._lines)
                self._last[stem] = last

    def read(self, rows: Sequence[Row], cache: KVCache, first: int) -> torch.Tensor:
        """Let lines of `cache` from `first` on be the rows' prompts.

        Rows of one length go together: nothing is padded, and what a row gives does not depend on
        how long others are. They should come sorted by `order`.

        Returns:
            What the last layer made of each row's last position: [rows, D].
        """
        ends: list[torch.Tensor] = []
        for (start, length), some in groupby(rows, key=order):
            alike = list(some)
            line = first + len(ends)
            for at, row in enumerate(alike, line):
                cache.take(self._cache, self._lines[row.stem], slice(at, at + 1), start)
            if length:
                tails = torch.tensor([row.tail for row in alike], device=cache.device)
                embeds = self._decoder.embed(tails)
                ends += self._decoder.extend(embeds, cache, line, [start] * len(alike))[:, -1]
            else:
                ends += [self._last[row.stem] for row in alike]
        return torch.stack(ends)


def order(row: Row) -> tuple[int, int]:
    """Rows for which it is the same are read together."""
    return len(row.stem), len(row.tail)


def _alike(
    items: Iterable[Item], key: Callable[[Item], tuple[tuple[int, ...], int]]
) -> Iterator[tuple[tuple[tuple[int, ...], int], list[Item]]]:
    """Items with the same key, together."""
    for same, some in groupby(sorted(items, key=key), key=key):
        yield same, list(some)
