"""Text around a picture's embeddings, packed into batches with their labels.

B pictures, Q queries, D width of the language model
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
PACK = 48
"""Rows that are padded to one length: a caption's are half as long as a meme's."""


@dataclass(frozen=True)
class Turn:
    """One row: which picture, what is asked of it (None: nothing), what the answer is."""

    picture: int
    prompt: str | None
    answer: str


@dataclass(frozen=True)
class _Row:
    """A turn as ids: the picture's slots begin at `place`, the answer's tokens at `answer`."""

    ids: list[int]
    place: int
    answer: int
    picture: int


def answer_loss(model: TinyGPTV, embeds: torch.Tensor, turns: Sequence[Turn]) -> torch.Tensor:
    """Mean cross-entropy over the answers' tokens, given the pictures' embeddings [B, Q, D].

    A turn with a prompt is trained as it will be asked: without BOS in front, unlike the authors'
    training (SPEC.md §4). One without is `[BOS][picture][caption + newline]`.
    """
    rows = sorted((_row(model, turn) for turn in turns), key=lambda row: len(row.ids))
    packs = [rows[start : start + PACK] for start in range(0, len(rows), PACK)]
    tokens = sum(len(row.ids) - row.answer for row in rows)
    return torch.stack([_summed_loss(model, embeds, pack) for pack in packs]).sum() / tokens


def _row(model: TinyGPTV, turn: Turn) -> _Row:
    queries = [0] * model.config.num_query_tokens
    if turn.prompt is None:
        before, after = [model.config.language.bos_token_id], []
        answer = model.token_ids(turn.answer + "\n")
    else:
        head, tail = turn.prompt.split(IMAGE_PLACEHOLDER)
        before, after = model.token_ids(head), model.token_ids(tail)
        answer = model.token_ids(turn.answer + END_OF_ANSWER)
    context = before + queries + after
    return _Row(context + answer, len(before), len(context), turn.picture)


def _summed_loss(model: TinyGPTV, embeds: torch.Tensor, rows: Sequence[_Row]) -> torch.Tensor:
    """The rows, right-padded to one length, and the sum of the cross-entropies of their answers."""
    device = model.device
    # Few lengths: for each new one the CPU's kernels keep buffers, gigabytes in half an hour.
    length = -(-max(len(row.ids) for row in rows) // LENGTH_STEP) * LENGTH_STEP
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED)
    for number, row in enumerate(rows):
        known = torch.tensor(row.ids)
        ids[number, : len(known)] = known
        labels[number, row.answer : len(known)] = known[row.answer :]
    ids, labels = ids.to(device), labels.to(device)
    places = torch.tensor([row.place for row in rows], device=device)
    pictures = torch.tensor([row.picture for row in rows], device=device)
    inputs = model.embed(ids).to(embeds.dtype)
    slots = places[:, None] + torch.arange(embeds.shape[1], device=device)
    numbers = torch.arange(len(rows), device=device)[:, None]
    inputs = inputs.index_put((numbers, slots), embeds[pictures])
    hidden = model.language_model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    # Only the positions before an answer's token have something to say: skip the head elsewhere.
    asked = labels[:, 1:] != IGNORED
    logits = model.language_model.lm_head(hidden[:, :-1][asked]).float()
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][asked], reduction="sum")
