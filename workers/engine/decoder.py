"""What the engine asks of a language model, and what it reads before it answers.

B rows, T positions, D width, V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from workers.engine.cache import KVCache


@dataclass(frozen=True)
class Prefix:
    """Some rows that are asked together, cut where they begin to differ."""

    head: tuple[int, ...]
    """Token ids that every row starts with; looked at once for all rows, and all prefixes alike."""
    rows: tuple[torch.Tensor, ...]
    """What follows in each: [T, D], T at least 1 and not the same for all."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def longest(self) -> int:
        """Positions of the longest row, its head included; 0 where there is no row."""
        return max((len(self.head) + len(row) for row in self.rows), default=0)


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

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """What `extend` gave of some positions [B, D] → scores of what follows, fp32 [B, V]."""
        ...
