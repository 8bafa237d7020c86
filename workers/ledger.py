"""What a run still owes, shard by shard: plain values, no clock, no store, no Ray.

A shard that took a replica with it is bisected:

    crash 1    anywhere: what a replica reads ahead may be to blame, so from now on it is careful
    crash 2    in a batch that was begun: its images are the suspects
    crash 3 …  in one half of them: that half is, until one is left
    the last   that one is condemned, and becomes a failed row

A batch of n images costs log2(n) + 3 starts of a replica, the first and the last one included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from schemas.image import Shard
from schemas.outcome import Failure, ReplicaError
from workers.messages import Caution

MAX_CRASHES = 16
"""A shard that took so many replicas with it, and no image of it is to blame, stops the run."""


@dataclass(slots=True)
class ShardState:
    """One shard that is owed, and what happened to it so far."""

    shard: Shard
    caution: Caution | None = None
    """How it is looked at next; None: as any other."""
    crashes: int = 0
    """Since an image was last condemned."""
    attempts: int = 0
    """Replicas that have it now."""
    committed: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A shard at a replica."""

    state: ShardState
    caution: Caution | None

    @property
    def shard(self) -> Shard:
        return self.state.shard


class Ledger:
    """Hands out what is owed: what came back first, then the plan's order."""

    def __init__(self, owed: Iterator[Shard | None]) -> None:
        """`owed` gives None while its next shard is on the way."""
        self._fresh = owed
        self._again: deque[ShardState] = deque()
        self.out = 0
        """Shards that are at replicas and not committed."""

    def take(self) -> Attempt | None:
        """The next shard to be run; None: all others are on the way, at replicas or committed."""
        while self._again:
            state = self._again.popleft()
            if not state.committed:
                return self.double(state)
        shard = next(self._fresh, None)
        return None if shard is None else self.double(ShardState(shard))

    def double(self, state: ShardState) -> Attempt:
        """One more attempt at a shard, which may be at another replica already."""
        self.out += not state.attempts
        state.attempts += 1
        return Attempt(state, state.caution)

    def commit(self, attempt: Attempt) -> bool:
        """The shard's part is there; whether that is news."""
        attempt.state.attempts -= 1
        news, attempt.state.committed = not attempt.state.committed, True
        self.out -= news
        return news

    def give_back(self, attempt: Attempt) -> None:
        """It came to nothing, and nobody is to blame: a lost machine, or it only waited."""
        state = attempt.state
        state.attempts -= 1
        if not state.committed and not state.attempts:
            self.out -= 1
            self._again.append(state)

    def charge(self, attempt: Attempt, batch: tuple[int, ...], failure: Failure) -> None:
        """It took its replica with it, which had begun `batch`; empty: before or after all batches.

        `failure` is the row of an image that turns out to be to blame. Raises ReplicaError where
        the shard crashes on and on and none is.
        """
        state = attempt.state
        if not state.committed:
            state.crashes += 1
            state.caution = _caution(state.caution, attempt.caution, batch, failure)
            if state.caution.condemned != (attempt.caution or Caution()).condemned:
                state.crashes = 0
            if state.crashes >= MAX_CRASHES:
                raise ReplicaError(_blame(state, batch, failure))
        self.give_back(attempt)


def _caution(
    now: Caution | None, then: Caution | None, batch: tuple[int, ...], failure: Failure
) -> Caution:
    """What follows from a crash; `then` is how the attempt went about it, `now` may be of later."""
    if now is None or now != then:
        return now or Caution()
    if not batch:
        return now
    if len(batch) == 1:
        return Caution(condemned=(*now.condemned, (batch[0], failure)))
    return replace(now, suspects=batch)


def _blame(state: ShardState, batch: tuple[int, ...], failure: Failure) -> str:
    where = ""
    if batch:
        first, last = state.shard.images[batch[0]].uri, state.shard.images[batch[-1]].uri
        where = f", the last time while it looked at {first}" + (
            f" … {last}" if last != first else ""
        )
    return (
        f"shard {state.shard.index} ended {state.crashes} replicas and no image of it is to "
        f"blame{where}: look at the machines, then the same command goes on; "
        f"{failure.error_message}"
    )
