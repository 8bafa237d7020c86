"""The rows that are under way together: they enter with their prompts and leave with their answers.

A row is a line of the cache. Lines under way stay at the front: where one is done, the last takes
its place.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

import torch

from workers.engine.cache import KVCache
from workers.engine.decoder import Decoder, Prefix


class Answers:
    """The token ids that answer a prefix, row by row, as far as they are known."""

    def __init__(self, rows: int) -> None:
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self.unfinished = rows


class _Row:
    """A row under way."""

    def __init__(self, answers: Answers, place: int, positions: int) -> None:
        self.answers = answers
        self.ids = answers.ids[place]
        self.positions = positions
        """How many the cache holds: the prompt, and all tokens but the last."""


class Table:
    """Rows of one decoder, generated greedily."""

    def __init__(
        self, decoder: Decoder, refill: int, max_new_tokens: int, eos_token_ids: Collection[int]
    ) -> None:
        self._decoder = decoder
        self._refill = refill
        self._max_new_tokens = max_new_tokens
        self._stops = frozenset(eos_token_ids)
        self._rows: list[_Row] = []
        self._cache: KVCache | None = None
        self._head: tuple[tuple[int, ...], KVCache] | None = None

    def __len__(self) -> int:
        """Rows under way."""
        return len(self._rows)

    def enter(self, prefix: Prefix) -> Answers:
        """Read the prompts and choose the first token of each.

        Rows of one length go together: nothing is padded, and what a row gives does not depend on
        how long others are.
        """
        answers = Answers(len(prefix))
        cache = self._room(len(self) + len(prefix), prefix.longest + self._max_new_tokens)
        lengths = [len(row) for row in prefix.rows]
        by_length = sorted(range(len(prefix)), key=lengths.__getitem__)
        entered: list[_Row] = []
        hidden: list[torch.Tensor] = []
        for length, places in groupby(by_length, key=lengths.__getitem__):
            first = len(self) + len(entered)
            some = [(place, prefix.rows[place]) for place in places]
            start = len(prefix.head)
            lines = slice(first, first + len(some))
            cache.clear(lines)
            if start:
                cache.copy(self._head_of(prefix.head), lines)
            embeds = torch.stack([row for _, row in some])
            read = self._decoder.extend(embeds, cache, first, [start] * len(some))
            hidden.append(read[:, -1])
            entered += [_Row(answers, place, start + length) for place, _ in some]
        if entered:
            self._rows += entered
            self._choose(self._decoder.logits(torch.cat(hidden)), entered)
        return answers

    def step(self) -> None:
        """One more token for every row."""
        assert self._cache is not None, "nothing has entered"
        device = self._cache.keys[0].device
        last = torch.tensor([[row.ids[-1]] for row in self._rows], device=device)
        starts = [row.positions for row in self._rows]
        hidden = self._decoder.extend(self._decoder.embed(last), self._cache, 0, starts)
        for row in self._rows:
            row.positions += 1
        self._choose(self._decoder.logits(hidden[:, -1]), list(self._rows))

    def _choose(self, logits: torch.Tensor, rows: list[_Row]) -> None:
        """The most likely token of each row; those that are finished leave."""
        for row, token in zip(rows, logits.argmax(-1).tolist(), strict=True):
            row.ids.append(token)
            if token in self._stops or len(row.ids) == self._max_new_tokens:
                row.answers.unfinished -= 1
                self._leave(row)

    def _leave(self, row: _Row) -> None:
        assert self._cache is not None, "nothing has entered"
        place = self._rows.index(row)
        last = self._rows.pop()
        if last is not row:
            self._rows[place] = last
            self._cache.move(len(self._rows), place, last.positions)

    def _room(self, rows: int, positions: int) -> KVCache:
        """The cache, made larger where it is too small."""
        held = self._cache
        if held is None or rows > held.rows or positions > held.positions:
            # The first prefix tells how many there will be beside `refill` others.
            rows = max(rows, held.rows if held else rows + self._refill)
            positions = max(positions, held.positions if held else 0)
            self._cache = self._decoder.new_cache(rows, positions)
            if held:
                self._cache.copy(held, slice(0, held.rows))
        assert self._cache is not None
        return self._cache

    def _head_of(self, ids: tuple[int, ...]) -> KVCache:
        """What all rows of a prefix start with, read once."""
        if self._head is None or self._head[0] != ids:
            cache = self._decoder.new_cache(1, len(ids))
            embeds = self._decoder.embed(torch.tensor([ids], device=cache.keys[0].device))
            self._decoder.extend(embeds, cache, 0, [0])
            self._head = ids, cache
        return self._head[1]
