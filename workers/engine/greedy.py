"""Greedy generation over embeddings: prefill once, then one token a step (SPEC.md §4.2, §5).

B rows, T prompt positions, N new tokens, D width, V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Decoder(Protocol):
    """What the engine asks of a language model."""

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[B, T] → [B, T, D]."""
        ...

    def decode(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        cache: Any | None,
    ) -> tuple[torch.Tensor, Any]:
        """Logits of the last position [B, V] and the cache that now holds these positions."""
        ...


def positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """[B, T] position ids: counted from a row's first real position, 1 on pads (SPEC.md §4.2)."""
    counted = attention_mask.long().cumsum(-1) - 1
    return counted.masked_fill(attention_mask == 0, 1)


@torch.inference_mode()
def generate_greedily(
    decoder: Decoder,
    inputs_embeds: torch.Tensor,
    attention_mask: torch.Tensor,
    max_new_tokens: int,
    eos_token_ids: Sequence[int],
) -> torch.Tensor:
    """The most likely continuation of each row, token by token.

    Args:
        decoder: the language model.
        inputs_embeds: [B, T, D], left-padded.
        attention_mask: [B, T], 0 on pads.
        max_new_tokens: at most so many, at least 1.
        eos_token_ids: a row that emits one of these is finished; the first of them fills it up.
            With none of them every row has `max_new_tokens`.

    Returns:
        [B, ≤N] int64, the end-of-sequence token included; as long as the longest row, [0, 0]
        where there is no row.

    Raises:
        ValueError: fewer than one new token asked for.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; at least 1 token is generated")
    device = inputs_embeds.device
    if not len(inputs_embeds):
        return torch.zeros(0, 0, dtype=torch.long, device=device)
    stops = torch.tensor(list(eos_token_ids), dtype=torch.long, device=device)
    filler = eos_token_ids[0] if eos_token_ids else 0  # without stops nothing is filled up
    position_ids = positions(attention_mask)
    next_position = position_ids[:, -1:] + 1
    logits, cache = decoder.decode(inputs_embeds, attention_mask, position_ids, None)
    finished = torch.zeros(len(inputs_embeds), dtype=torch.bool, device=device)
    generated: list[torch.Tensor] = []
    while True:
        token = logits.argmax(-1).masked_fill(finished, filler)
        generated.append(token)
        finished = finished | torch.isin(token, stops)
        if len(generated) == max_new_tokens or bool(finished.all()):
            return torch.stack(generated, dim=1)
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(token), 1)], dim=1)
        logits, cache = decoder.decode(
            decoder.embed(token[:, None]), attention_mask, next_position, cache
        )
        next_position = next_position + 1
