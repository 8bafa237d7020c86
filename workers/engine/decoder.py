"""What the engine asks of a language model, what it reads before it answers, and what it answers.

B rows, T positions, R nodes, D width, V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from workers.engine.cache import Branches, KVCache
from workers.engine.trie import Trie


@dataclass(frozen=True, eq=False)
class Stem:
    """What rows begin with that are about one image: read once for all that hold this object."""

    head: tuple[int, ...]
    """Token ids before the image; read once for all stems that begin with the same."""
    embeds: torch.Tensor
    """The image: [T, D], T at least 1."""

    def __len__(self) -> int:
        return len(self.head) + len(self.embeds)


@dataclass(frozen=True)
class Greedy:
    """Go on with the most likely token, again and again."""

    max_new_tokens: int
    """At least 1."""
    stops: frozenset[int]
    """A row that emits one of these is finished, the token included; with none of them it has
    `max_new_tokens`."""

    @property
    def positions(self) -> int:
        """That it may take after the prompt."""
        return self.max_new_tokens


@dataclass(frozen=True, eq=False)
class Best:
    """The most likely of given continuations."""

    trie: Trie
    top: int | None = None
    """Only so many, at least 1; None is all."""
    least: float = 0.0
    """Only those of at least this probability."""

    @property
    def positions(self) -> int:
        """That it may take after the prompt."""
        return self.trie.depth


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt, and what is wanted after it."""

    stem: Stem
    tail: tuple[int, ...]
    """Token ids after the image."""
    want: Greedy | Best

    def __len__(self) -> int:
        return len(self.stem) + len(self.tail)


@dataclass(frozen=True, eq=False)
class Prefix:
    """Rows that are asked together."""

    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Tokens:
    """The answer to `Greedy`."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural, of each token after all before it."""


@dataclass(frozen=True)
class Ranking:
    """The answer to `Best`."""

    scores: tuple[tuple[int, float], ...]
    """(place among the continuations, natural log-probability), the most likely first, equals in
    their order."""


class Decoder(Protocol):
    """A causal language model over a cache that the engine holds."""

    def new_cache(self, rows: int, positions: int) -> KVCache:
        """Room for `rows` rows of `positions` positions each, on the model's device."""
        ...

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[...] → [..., D]."""
        ...

    def extend(
        self, embeds: torch.Tensor, cache: KVCache, first: int, starts: Sequence[int]
    ) -> torch.Tensor:
        """Let rows of the cache read on: [B, T, D] → what the last layer makes of them [B, T, D].

        Row `first + b` of the cache holds `starts[b]` positions already; their successors go there.
        """
        ...

    def branch(self, embeds: torch.Tensor, cache: KVCache, branches: Branches) -> torch.Tensor:
        """Let rows go on in several ways at once: nodes [R, D] → what the last layer makes of them.

        A node's bits depend on its row's prompt and the nodes on its path, and on nothing else.
        """
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """What was made of some positions [B, D] → scores of what follows, fp32 [B, V]."""
        ...
