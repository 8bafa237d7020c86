"""A stream of prompts in, what each row wants out (SPEC.md §4.2, §5, §6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch

from workers.engine.decoder import Decoder, Prefix, Ranking, Tokens
from workers.engine.table import Answers, Table


@torch.inference_mode()
def replies(
    decoder: Decoder, prefixes: Iterable[Prefix], refill: int, most: int
) -> Iterator[list[Tokens | Ranking]]:
    """What each row wants, for each prefix in its turn.

    A row that is ranked is done when it enters; one that is written leaves when it is finished.
    While no more than `refill` are under way the next prefix is asked for and enters beside them.

    Args:
        decoder: the language model.
        prefixes: taken one by one, no earlier than there is room.
        refill: 0 or more; at 0 prefixes do not mix.
        most: so many prefixes have entered and not been answered, at least 1. What comes after a
            row that is long, or enters without rows, waits for it.

    Raises:
        FloatingPointError: the model gives a row that is ranked no numbers.
    """
    table = Table(decoder, refill)
    waiting: deque[Answers] = deque()
    coming = iter(prefixes)
    more = True
    while more or waiting:
        if waiting and not waiting[0].unfinished:
            yield waiting.popleft().all()
        elif more and len(table) <= refill and len(waiting) < most:
            prefix = next(coming, None)
            if prefix is None:
                more = False
            else:
                waiting.append(table.enter(prefix))
        else:
            table.step()
