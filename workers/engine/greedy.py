"""Greedy generation over a stream of prompts (SPEC.md §4.2, §5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator

import torch

from workers.engine.decoder import Decoder, Prefix
from workers.engine.table import Answers, Table


@torch.inference_mode()
def generate(
    decoder: Decoder,
    prefixes: Iterable[Prefix],
    refill: int,
    most: int,
    max_new_tokens: int,
    eos_token_ids: Collection[int],
) -> Iterator[list[list[int]]]:
    """The most likely continuation of each row, token by token, for each prefix in its turn.

    A row leaves when it is finished. While no more than `refill` are under way the next prefix is
    asked for and enters beside them.

    Args:
        decoder: the language model.
        prefixes: taken one by one, no earlier than there is room.
        refill: 0 or more; at 0 prefixes do not mix.
        most: so many prefixes have entered and not been answered, at least 1. What comes after a
            row that is long, or enters without rows, waits for it.
        max_new_tokens: a row has at most so many, at least 1.
        eos_token_ids: a row that emits one of these is finished, the token included; with none of
            them every row has `max_new_tokens`.

    Raises:
        ValueError: fewer than one new token asked for.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; at least 1 token is generated")
    table = Table(decoder, refill, max_new_tokens, eos_token_ids)
    waiting: deque[Answers] = deque()
    coming = iter(prefixes)
    more = True
    while more or waiting:
        if waiting and not waiting[0].unfinished:
            yield waiting.popleft().ids
        elif more and len(table) <= refill and len(waiting) < most:
            prefix = next(coming, None)
            if prefix is None:
                more = False
            else:
                waiting.append(table.enter(prefix))
        else:
            table.step()
