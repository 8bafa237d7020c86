"""The rows that are written together: they enter with their prompts and leave with their answers.

A row is a line of the cache. Lines under way stay at the front: where one is done, the last takes
its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from workers.engine.cache import KVCache
from workers.engine.decoder import Best, Decoder, Greedy, Prefix, Ranking, Tokens
from workers.engine.prompts import Heads, Stems, order
from workers.engine.search import search


class Answers:
    """What a prefix's rows want, row by row, as far as it is known."""

    def __init__(self, rows: int) -> None:
        self._found: list[Tokens | Ranking | None] = [None] * rows
        self.unfinished = rows

    def finish(self, place: int, found: Tokens | Ranking) -> None:
        self._found[place] = found
        self.unfinished -= 1

    def all(self) -> list[Tokens | Ranking]:
        """None is unfinished."""
        found = [one for one in self._found if one is not None]
        assert len(found) == len(self._found), "a row has no answer yet"
        return found


@dataclass(eq=False)
class _Line:
    """A row under way."""

    answers: Answers
    place: int
    want: Greedy
    positions: int
    """How many the cache holds: the prompt, and all tokens but the last."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Table:
    """Rows of one decoder."""

    def __init__(self, decoder: Decoder, refill: int) -> None:
        self._decoder = decoder
        self._refill = refill
        self._heads = Heads(decoder)
        self._lines: list[_Line] = []
        self._cache: KVCache | None = None

    def __len__(self) -> int:
        """Rows under way."""
        return len(self._lines)

    def enter(self, prefix: Prefix) -> Answers:
        """Read the prompts; rank what is to be ranked, and choose the first token of the others."""
        answers = Answers(len(prefix))
        stems = Stems(self._decoder, self._heads, prefix.rows)
        places = sorted(range(len(prefix)), key=lambda place: order(prefix.rows[place]))
        ranked = [place for place in places if isinstance(prefix.rows[place].want, Best)]
        if ranked:
            found = search(self._decoder, stems, [prefix.rows[place] for place in ranked])
            for place, ranking in zip(ranked, found, strict=True):
                answers.finish(place, ranking)
        written = [place for place in places if isinstance(prefix.rows[place].want, Greedy)]
        if written:
            self._begin(stems, prefix, written, answers)
        return answers

    def step(self) -> None:
        """One more token for every row."""
        assert self._cache is not None, "nothing has entered"
        last = torch.tensor([[line.ids[-1]] for line in self._lines], device=self._cache.device)
        starts = [line.positions for line in self._lines]
        hidden = self._decoder.extend(self._decoder.embed(last), self._cache, 0, starts)
        for line in self._lines:
            line.positions += 1
        self._choose(hidden[:, -1], list(self._lines))

    def _begin(self, stems: Stems, prefix: Prefix, places: Sequence[int], answers: Answers) -> None:
        """The first token of the rows at `places`."""
        rows = [prefix.rows[place] for place in places]
        lines = [
            _Line(answers, place, row.want, len(row))
            for place, row in zip(places, rows, strict=True)
            if isinstance(row.want, Greedy)
        ]
        longest = max(line.positions + line.want.max_new_tokens for line in lines)
        cache = self._room(len(self) + len(lines), longest)
        cache.clear(slice(len(self), len(self) + len(lines)))
        hidden = stems.read(rows, cache, len(self))
        self._lines += lines
        self._choose(hidden, lines)

    def _choose(self, hidden: torch.Tensor, lines: Sequence[_Line]) -> None:
        """The most likely token of each row; those that are finished leave."""
        logits = self._decoder.logits(hidden)
        chosen = logits.argmax(-1, keepdim=True)
        logprobs = logits.log_softmax(-1).gather(-1, chosen)
        for line, token, logprob in zip(
            lines, chosen[:, 0].tolist(), logprobs[:, 0].tolist(), strict=True
        ):
            line.ids.append(token)
            line.logprobs.append(logprob)
            if token in line.want.stops or len(line.ids) == line.want.max_new_tokens:
                line.answers.finish(line.place, Tokens(tuple(line.ids), tuple(line.logprobs)))
                self._leave(line)

    def _leave(self, line: _Line) -> None:
        assert self._cache is not None, "nothing has entered"
        place = self._lines.index(line)
        last = self._lines.pop()
        if last is not line:
            self._lines[place] = last
            self._cache.move(len(self._lines), place, last.positions)

    def _room(self, rows: int, positions: int) -> KVCache:
        """The cache, made larger where it is too small."""
        held = self._cache
        if held is None or rows > held.rows or positions > held.positions:
            # The first prefix tells how many there will be beside `refill` others.
            rows = max(rows, held.rows if held else rows + self._refill)
            positions = max(positions, held.positions if held else 0)
            self._cache = self._decoder.new_cache(rows, positions)
            if held:
                self._cache.copy(held)
        assert self._cache is not None
        return self._cache
