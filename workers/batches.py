"""Which images of a shard are looked at together, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from workers.messages import Caution

UNDER_WAY = 3
"""So many batches of a shard a replica has begun and not answered, at most."""


def batches(images: int, batch_size: int, caution: Caution | None) -> Iterator[tuple[int, ...]]:
    """Positions of a shard of `images`, each once but the condemned ones.

    Batches follow the plan's order, so that a resumed run gives the labels of an undisturbed one.
    Suspects come first and in two halves, then the rest of theirs and the other batches.
    """
    condemned = dict(caution.condemned) if caution else {}
    suspects = caution.suspects if caution else ()
    half = (len(suspects) + 1) // 2
    apart = (suspects[:half], suspects[half:])
    yield from filter(None, apart)
    left_out = condemned.keys() | set(suspects)
    for first in range(0, images, batch_size):
        batch = range(first, min(first + batch_size, images))
        if rest := tuple(position for position in batch if position not in left_out):
            yield rest
