"""Given continuations as a tree of their tokens, in arrays: built once, walked for every image.

N nodes, E entries, J ends, S sequences of tokens: S = E · J
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROOT = 0
TOKENS = 2**32
"""Ids are less than this."""


@dataclass(frozen=True, eq=False)
class Trie:
    """A node is a token after its parent's; the root is the prompt's end.

    Children of a node follow one another, and nodes that are nearer to the root come first. The
    last token of a sequence is no node, for nothing is read behind it: it *closes* the sequence.
    A node that closes nothing has children.
    """

    entries: int
    """E"""
    ends: int
    """J: in so many ways each entry ends."""
    token: np.ndarray
    """[N] int32; the root's says nothing."""
    parent: np.ndarray
    """[N] int32; the root is its own."""
    within_end: np.ndarray
    """[N] bool: some entry is whole above it already."""
    children: np.ndarray
    """[N + 1] int32: those of node n are from `children[n]` to before `children[n + 1]`."""
    closings: np.ndarray
    """[N + 1] int32: likewise what node n closes, in the two arrays that follow."""
    closing_token: np.ndarray
    """[S] int32"""
    closed: np.ndarray
    """[S] int32: entry · J + end."""
    certain: tuple[int, ...]
    """Entries that are whole at the root, with nothing to close."""
    depth: int
    """Most tokens on the way from the root to a node."""

    def path(self, node: int) -> list[int]:
        """The nodes from the root's child to `node`."""
        found: list[int] = []
        while node != ROOT:
            found.append(node)
            node = int(self.parent[node])
        return found[::-1]


def build_trie(entries: Sequence[Sequence[int]], ends: Sequence[Sequence[int]] = ()) -> Trie:
    """The tree of `entries`, each followed by one of `ends`; by anything where there is none.

    An end that begins with another one is left out: whoever emits it has ended before.
    """
    kept = _shortest(ends) or [()]
    flat = np.array([ids for entry in entries for end in kept for ids in (*entry, *end)], np.int64)
    whole = np.repeat([len(entry) for entry in entries], len(kept)).astype(np.int64)
    lengths = whole + np.tile([len(end) for end in kept], len(entries)).astype(np.int64)
    starts = lengths.cumsum() - lengths
    inner = np.maximum(lengths - 1, 0)
    node = np.zeros(len(lengths), np.int64)
    """Where each sequence has come to."""
    tokens, parents, within = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], [np.zeros(1, bool)]
    nodes = 1
    for depth in range(int(inner.max(initial=0))):
        further = np.flatnonzero(inner > depth)
        ways, way = np.unique(
            node[further] * TOKENS + flat[starts[further] + depth], return_inverse=True
        )
        node[further] = nodes + way
        tokens.append(ways % TOKENS)
        parents.append(ways // TOKENS)
        within.append(np.bincount(way, depth >= whole[further]) > 0)
        nodes += len(ways)
    parent = np.concatenate(parents)
    closed = np.flatnonzero(lengths)
    closed = closed[np.argsort(node[closed], kind="stable")]
    return Trie(
        entries=len(entries),
        ends=len(kept),
        token=np.concatenate(tokens).astype(np.int32),
        parent=parent.astype(np.int32),
        within_end=np.concatenate(within),
        children=(1 + parent[1:].searchsorted(np.arange(nodes + 1))).astype(np.int32),
        closings=node[closed].searchsorted(np.arange(nodes + 1)).astype(np.int32),
        closing_token=flat[starts[closed] + inner[closed]].astype(np.int32),
        closed=closed.astype(np.int32),
        certain=tuple(np.flatnonzero(lengths == 0).tolist()),
        depth=int(inner.max(initial=0)),
    )


def _shortest(ends: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Those that begin with no other one, each once."""
    kept: list[tuple[int, ...]] = []
    for end in sorted({tuple(end) for end in ends}):  # an end comes before what begins with it
        if not kept or end[: len(kept[-1])] != kept[-1]:
            kept.append(end)
    return kept
