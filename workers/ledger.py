"""What a run still owes, shard by shard: plain values, no clock, no store, no Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from schemas.image import ImageRef, Shard
from schemas.outcome import ReplicaError

MAX_CRASHES = 3
"""A shard that took so many replicas with it stops the run."""


@dataclass(frozen=True, slots=True)
class ShardState:
    """One shard that is owed, and what happened to it so far."""

    shard: Shard
    crashes: int = 0
    """Replicas that died while they ran it, on a node that lived on."""
    suspects: tuple[ImageRef, ...] = ()
    """The batch that the last of them had begun."""

    @property
    def careful(self) -> bool:
        """Whether a replica has to say which batch it begins and look at nothing beyond it."""
        return self.crashes > 0


class Ledger:
    """Hands out what is owed: what came back first, then the plan's order."""

    def __init__(self, owed: Iterator[Shard]) -> None:
        self._fresh = owed
        self._again: deque[ShardState] = deque()

    def take(self) -> ShardState | None:
        """The next shard to be run, or None: every shard is at a replica or committed."""
        if self._again:
            return self._again.popleft()
        shard = next(self._fresh, None)
        return None if shard is None else ShardState(shard)

    def give_back(self, state: ShardState) -> None:
        """Owed again, and nobody's fault: a lost node, or it only waited."""
        self._again.append(state)

    def charge(self, state: ShardState, suspects: tuple[ImageRef, ...], reason: str) -> None:
        """Owed again after it took its replica with it while `suspects` were looked at.

        Raises:
            ReplicaError: it did so MAX_CRASHES times; `reason` is what is known of the last.
        """
        charged = replace(state, crashes=state.crashes + 1, suspects=suspects)
        if charged.crashes >= MAX_CRASHES:
            raise ReplicaError(_blame(charged, reason))
        self._again.append(charged)


def _blame(state: ShardState, reason: str) -> str:
    where = ""
    if state.suspects:
        first, last = state.suspects[0].uri, state.suspects[-1].uri
        where = f" while it looked at {first}" + (f" … {last}" if last != first else "")
    return (
        f"shard {state.shard.index} crashed its replica {state.crashes} times{where}; "
        "take that out of INPUT and start with --new-run, or go on with this run to try it again; "
        f"the last time: {reason}"
    )
