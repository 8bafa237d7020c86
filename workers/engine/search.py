"""The most likely of given continuations, exactly, by opening as few nodes of their trie as may be.

To open a node is to ask the model what follows it. How likely a node is bounds all that lies below
it: the likeliest are opened first, and the search ends where nothing that is open can come among
the best. How many are opened at a time changes no bit of what is found, for a node sees its prompt
and its path alone (`Decoder.branch`).

B rows, N open nodes, D width, V vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from workers.engine.cache import BLOCK, GRAIN, Branches, KVCache, Node, up_to
from workers.engine.decoder import Best, Decoder, Ranking, Row
from workers.engine.prompts import Stems
from workers.engine.trie import ROOT

FEW, MANY = GRAIN, 2 * GRAIN
"""Nodes that a row opens in a pass, among many rows and among few: attention takes as long for
fewer."""
PASS = 64
"""Many nodes in all: more are hardly faster, and are opened too early."""
SLOTS = 64
"""Nodes of a row whose keys and values are kept: where there are more, all are forgotten, and those
that are needed again are read again."""
SLACK = 1e-6
"""What the rounding of logits may add to the sum of several ends."""


def search(decoder: Decoder, stems: Stems, rows: Sequence[Row]) -> list[Ranking]:
    """What each row wants, which is `Best`; rows come sorted by `workers.engine.prompts.order`.

    Raises:
        FloatingPointError: the model's scores are no numbers.
    """
    walks = [Walk(row.want, len(row)) for row in rows if isinstance(row.want, Best)]
    assert len(walks) == len(rows), "a row wants something else"
    base = up_to(max(map(len, rows)), BLOCK)
    cache = decoder.new_cache(len(rows), base + max(walk.slots for walk in walks))
    following = _following(decoder, stems.read(rows, cache, 0))
    for walk, scores in zip(walks, following, strict=True):
        walk.choose(1)
        walk.open(scores[None])
    under_way = list(walks)
    """In order of the cache's lines."""
    while _leave(under_way, cache, base):
        _open(decoder, under_way, cache, base)
    return [walk.ranking() for walk in walks]


def _leave(walks: list[Walk], cache: KVCache, base: int) -> bool:
    """Those that are finished leave, and the last takes their line; whether there are others."""
    for line in reversed(range(len(walks))):
        if not walks[line].unfinished:
            last = walks.pop()
            if line < len(walks):
                walks[line] = last
                cache.move(len(walks), line, base + last.held)
    return bool(walks)


def _open(decoder: Decoder, walks: Sequence[Walk], cache: KVCache, base: int) -> None:
    """Open the likeliest nodes of each."""
    share = MANY if len(walks) * MANY <= PASS else FEW
    unread = [(line, node) for line, walk in enumerate(walks) for node in walk.choose(share)]
    nodes = [walks[line].node(line, base, node) for line, node in unread]
    branches = Branches(nodes, [walk.start for walk in walks], base, cache.device)
    tokens = torch.tensor([node.token for node in nodes], device=cache.device)
    hidden = decoder.branch(decoder.embed(tokens), cache, branches)
    places = {node: place for place, node in enumerate(unread)}
    opened = [places[line, node] for line, walk in enumerate(walks) for node in walk.opening]
    following = _following(decoder, hidden[opened])
    edges = np.cumsum([len(walk.opening) for walk in walks])[:-1]
    for walk, some in zip(walks, np.split(following, edges), strict=True):
        walk.open(some)


class Walk:
    """One row's way through its trie."""

    def __init__(self, want: Best, start: int) -> None:
        """`start` positions are the prompt's."""
        trie = want.trie
        self.start = start
        self._trie, self._top = trie, want.top
        self._bar = math.log(want.least) if want.least > 0 else -math.inf
        """An entry that is less likely is none of the best."""
        self._open = _Nodes(np.array([ROOT]), np.zeros(1), np.zeros(1))
        self._opening = self._open.at(np.arange(0))
        self._ends = np.zeros((trie.entries, trie.ends))
        self._left = np.full(trie.entries, trie.ends, np.int32)
        """Of each entry, how likely it is with each of its ends, and how many are not known yet."""
        self._entries, self._scores = np.array([], int), np.array([])
        self._held: dict[int, int] = {}
        """The nodes whose keys and values are in the cache, and where, counted from the base."""
        self.slots = max(min(SLOTS, len(trie.token) - 1), trie.depth)
        self._add(np.array(trie.certain, int), np.zeros(len(trie.certain)))

    @property
    def unfinished(self) -> bool:
        return len(self._open) > 0

    @property
    def held(self) -> int:
        """Slots of the cache that are taken."""
        return len(self._held)

    @property
    def opening(self) -> list[int]:
        """The nodes that were chosen last."""
        nodes: list[int] = self._opening.number.tolist()
        return nodes

    def choose(self, most: int) -> list[int]:
        """Choose up to `most` of the likeliest open nodes, as far as there are slots for them.

        Returns:
            Those and all above them that are not in the cache: to be read now.
        """
        likeliest = self._open.likeliest(most)
        unread: list[int] = []
        chosen = 0
        for node in self._open.number[likeliest].tolist():
            missing = [above for above in self._trie.path(node) if above not in self._held]
            if len(self._held) + len(missing) > self.slots:
                if chosen:
                    break
                self._held.clear()
                missing = self._trie.path(node)
            for above in missing:
                self._held[above] = len(self._held)
            unread += missing
            chosen += 1
        self._opening = self._open.at(likeliest[:chosen])
        self._open = self._open.without(likeliest[:chosen])
        return unread

    def node(self, line: int, base: int, number: int) -> Node:
        """A node that was chosen, as the cache's row `line` is to read it."""
        path = tuple(base + self._held[above] for above in self._trie.path(number))
        return Node(line, int(self._trie.token[number]), path)

    def open(self, following: np.ndarray) -> None:
        """Take the log-probabilities of what follows the nodes that were chosen: [N, V]."""
        if np.isnan(following[:, 0]).any():
            raise FloatingPointError("what the model says is no number")
        trie, opening = self._trie, self._opening
        at, of = _spread(trie.closings, opening.number)
        closed = trie.closed[at]
        self._ends.reshape(-1)[closed] = opening.likely[of] + following[of, trie.closing_token[at]]
        entries = closed // trie.ends
        np.subtract.at(self._left, entries, 1)
        whole = np.unique(entries[self._left[entries] == 0])
        self._add(whole, np.logaddexp.reduce(self._ends[whole], axis=1))
        at, of = _spread(trie.children, opening.number)
        likely = opening.likely[of] + following[of, trie.token[at]]
        # All ends of an entry count for it together, however little likely one is.
        bound = np.where(trie.within_end[at], opening.bound[of], likely)
        self._open = self._open.and_these(_Nodes(at, likely, bound)).from_bound(self._bar - SLACK)

    def ranking(self) -> Ranking:
        """What was found; nothing is open any more."""
        return Ranking(tuple(zip(self._entries.tolist(), self._scores.tolist(), strict=True)))

    def _add(self, entries: np.ndarray, scores: np.ndarray) -> None:
        """Entries that are now known, among the best."""
        entries = np.concatenate([self._entries, entries])
        scores = np.concatenate([self._scores, scores])
        best = np.lexsort((entries, -scores))
        best = best[scores[best] >= self._bar][: self._top]
        self._entries, self._scores = entries[best], scores[best]
        if len(best) == self._top:
            self._bar = float(self._scores[-1])


class _Nodes:
    """Nodes of a trie: which, how likely, and how likely what is below them may be at most."""

    def __init__(self, number: np.ndarray, likely: np.ndarray, bound: np.ndarray) -> None:
        self.number, self.likely, self.bound = number, likely, bound

    def __len__(self) -> int:
        return len(self.number)

    def at(self, places: np.ndarray) -> _Nodes:
        return _Nodes(self.number[places], self.likely[places], self.bound[places])

    def without(self, places: np.ndarray) -> _Nodes:
        return self.at(np.delete(np.arange(len(self)), places))

    def from_bound(self, least: float) -> _Nodes:
        return self.at(np.flatnonzero(self.bound >= least))

    def and_these(self, other: _Nodes) -> _Nodes:
        mine, theirs = (
            (self.number, self.likely, self.bound),
            (other.number, other.likely, other.bound),
        )
        return _Nodes(*map(np.concatenate, zip(mine, theirs, strict=True)))

    def likeliest(self, most: int) -> np.ndarray:
        """The places of so many, the likeliest first."""
        places = np.arange(len(self))
        if len(self) > most:
            places = np.argpartition(-self.bound, most)[:most]
        return places[np.argsort(-self.bound[places], kind="stable")]


def _spread(starts: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers from `starts[n]` to before `starts[n + 1]` for each of `nodes`, and whose each
    is, as a place in `nodes`.
    """
    counts = starts[nodes + 1] - starts[nodes]
    of = np.repeat(np.arange(len(nodes)), counts)
    within = np.arange(len(of)) - np.repeat(counts.cumsum() - counts, counts)
    return starts[nodes][of] + within, of


def _following(decoder: Decoder, hidden: torch.Tensor) -> np.ndarray:
    """Log-probabilities of the token behind each of [B, D]: fp32 [B, V]."""
    following: np.ndarray = decoder.logits(hidden).log_softmax(-1).cpu().numpy()
    return following
