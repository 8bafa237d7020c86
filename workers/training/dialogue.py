"""Text around a picture's embeddings, packed into one batch with its labels.

R rows, T positions, Q queries, D width of the language model
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from schemas.job import IMAGE_PLACEHOLDER
from workers.model import TinyGPTV
from workers.model.prompts import END_OF_ANSWER

IGNORED = -100
"""Cross-entropy's label of positions that are not answers."""
LENGTH_STEP = 8
"""Rows are padded to a multiple of so many positions."""


@dataclass(frozen=True)
class Turn:
    """One row: which picture, what is asked of it (None: nothing), what the answer is."""

    picture: int
    prompt: str | None
    answer: str


def answer_loss(model: TinyGPTV, embeds: torch.Tensor, turns: Sequence[Turn]) -> torch.Tensor:
    """Mean cross-entropy over the answers' tokens, given the pictures' embeddings [B, Q, D].

    A turn with a prompt is trained as it will be asked: without BOS in front, unlike the authors'
    training (SPEC.md §4). One without is `[BOS][picture][caption + newline]`.
    """
    ids, labels, places = _pack(model, turns)
    pictures = torch.tensor([turn.picture for turn in turns], device=embeds.device)
    inputs = model.embed(ids.clamp(min=0)).to(embeds.dtype)
    slots = places[:, None] + torch.arange(embeds.shape[1], device=embeds.device)
    rows = torch.arange(len(turns), device=embeds.device)[:, None]
    inputs = inputs.index_put((rows, slots), embeds[pictures])
    hidden = model.language_model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    # Only the positions before an answer's token have something to say: skip the head elsewhere.
    asked = labels[:, 1:] != IGNORED
    logits = model.language_model.lm_head(hidden[:, :-1][asked]).float()
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][asked])


def _pack(
    model: TinyGPTV, turns: Sequence[Turn]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids [R, T] and labels [R, T], right-padded, and where each picture's slots begin [R]."""
    queries = [0] * model.config.num_query_tokens
    rows, labels, places = [], [], []
    for turn in turns:
        if turn.prompt is None:
            before, after = [model.config.language.bos_token_id], []
            answer = model.token_ids(turn.answer + "\n")
        else:
            head, tail = turn.prompt.split(IMAGE_PLACEHOLDER)
            before, after = model.token_ids(head), model.token_ids(tail)
            answer = model.token_ids(turn.answer + END_OF_ANSWER)
        context = before + queries + after
        rows.append(context + answer)
        labels.append([IGNORED] * len(context) + answer)
        places.append(len(before))
    # Few lengths: for each new one the CPU's kernels keep buffers, gigabytes in half an hour.
    length = -(-max(map(len, rows)) // LENGTH_STEP) * LENGTH_STEP
    device = model.device
    return (
        torch.tensor([row + [0] * (length - len(row)) for row in rows], device=device),
        torch.tensor([row + [IGNORED] * (length - len(row)) for row in labels], device=device),
        torch.tensor(places, device=device),
    )
