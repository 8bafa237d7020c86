"""Who runs which shard: hands shards to replicas, and owns every retry. Knows no Ray and no store.

A shard is at most at one replica, a replica has at most SHARDS_AT_ONCE shards, in the order in
which they were given. A replica that is lost is replaced; its shards are owed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from schemas.image import ImageRef, Shard
from schemas.outcome import ReplicaError, StoppedError
from schemas.run import PartRecord
from workers.ledger import Ledger, ShardState
from workers.messages import BatchBegun
from workers.progress import Progress

SHARDS_AT_ONCE = 2
"""The second one waits at the replica, so that it never waits for the driver."""
FAILED_STARTS = 3
"""So many replicas in a row that do not start stop the run."""
POLL_SECONDS = 0.5
"""How long to wait for news before looking at the clock and at signals again."""
SECONDS_BETWEEN_WAITING = 60.0
"""Between two lines that say that no replica runs yet."""


@dataclass(frozen=True, slots=True)
class Started:
    """The replica has loaded its model."""

    replica: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The replica is gone before it had loaded its model."""

    replica: int
    reason: str
    crashed: bool
    """False where the machine went away, which the next one need not."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The replica begins a batch of its first shard."""

    replica: int
    batch: BatchBegun


@dataclass(frozen=True, slots=True)
class Done:
    """The replica's first shard is committed."""

    replica: int
    part: PartRecord


@dataclass(frozen=True, slots=True)
class Lost:
    """The replica is gone, with all its shards."""

    replica: int
    reason: str
    crashed: bool
    """False where the machine went away, for which no shard is to blame."""


Event = Started | NotStarted | Begun | Done | Lost


class Fleet(Protocol):
    """Replicas, known by numbers."""

    def start(self) -> int:
        """Begin to start one more; Started or NotStarted follows."""
        ...

    def give(self, replica: int, shard: Shard, careful: bool) -> None:
        """Queue a shard at a started replica; events follow until Done or Lost."""
        ...

    def stop(self, replica: int) -> None:
        """End a replica at once; nothing follows."""
        ...

    def needs(self) -> str:
        """What a replica asks for, and what there is, for people."""
        ...

    def events(self, seconds: float) -> list[Event]:
        """What happened; waits until something does, at most `seconds`.

        Raises what a replica raised where every replica would: BucketsightError.
        """
        ...


@dataclass(slots=True)
class _Replica:
    started: bool = False
    shards: deque[ShardState] = field(default_factory=deque)
    """The first one runs, the others wait."""
    batch: tuple[ImageRef, ...] = ()
    """What it looks at, as far as it said so."""


class Dispatch:
    """Runs all that a ledger owes on `replicas` replicas of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        ledger: Ledger,
        shards: int,
        replicas: int,
        progress: Progress,
        say: Callable[[str], None],
        clock: Callable[[], float],
        stop_signals: Callable[[], int],
        drain_seconds: float,
        again: str,
    ) -> None:
        """`again` is what people are to do when the run is stopped: `the same command`."""
        self._fleet = fleet
        self._ledger = ledger
        self._owed = shards
        self._wanted = replicas
        self._progress = progress
        self._say = say
        self._clock = clock
        self._stop_signals = stop_signals
        self._drain_seconds = drain_seconds
        self._again = again
        self._replicas: dict[int, _Replica] = {}
        self._failed_starts = 0
        self._deadline: float | None = None
        self._next_waiting = 0.0
        self._parts: dict[int, PartRecord] = {}

    def run(self) -> dict[int, PartRecord]:
        """The committed parts by shard, when all are.

        Raises:
            StoppedError: somebody asked to stop, and the shards under way had their time.
            ReplicaError: replicas do not start, or a shard keeps killing them.
            BucketsightError: what a replica raised that every replica would.
        """
        while self._owed:
            if self._stop_signals():
                self._drain()
            else:
                self._start_replicas()
                self._hand_out()
            for event in self._fleet.events(POLL_SECONDS):
                self._handle(event)
            if line := self._progress.line_if_due():
                self._tell(line)
        return self._parts

    def _tell(self, progress: str) -> None:
        """How far it is; while no replica runs, now and then what they wait for."""
        if any(replica.started for replica in self._replicas.values()):
            self._say(progress)
        elif self._clock() >= self._next_waiting:
            self._say(f"no replica runs yet: {self._fleet.needs()}")
            self._next_waiting = self._clock() + SECONDS_BETWEEN_WAITING

    def _start_replicas(self) -> None:
        while len(self._replicas) < min(self._wanted, self._owed):
            self._replicas[self._fleet.start()] = _Replica()

    def _hand_out(self) -> None:
        """A shard for each replica, then a second one while no idle replica could take it."""
        for number, replica in self._replicas.items():
            if replica.started and not replica.shards:
                self._give(number, replica)
        waiting = self._owed - sum(len(replica.shards) for replica in self._replicas.values())
        spare = waiting - sum(not replica.shards for replica in self._replicas.values())
        for number, replica in self._replicas.items():
            if spare > 0 and 0 < len(replica.shards) < SHARDS_AT_ONCE:
                self._give(number, replica)
                spare -= 1

    def _give(self, number: int, replica: _Replica) -> None:
        state = self._ledger.take()
        if state is not None:
            replica.shards.append(state)
            self._fleet.give(number, state.shard, state.careful)

    def _handle(self, event: Event) -> None:
        replica = self._replicas[event.replica]
        match event:
            case Started():
                replica.started = True
                self._failed_starts = 0
            case NotStarted(number, reason, crashed):
                del self._replicas[number]
                self._start_again(reason, crashed)
            case Begun(_, batch):
                shard = replica.shards[0].shard
                replica.batch = shard.images[batch.first : batch.first + batch.count]
                self._progress.began_batch(shard.index, batch.first)
            case Done(number, part):
                shard = replica.shards.popleft().shard
                replica.batch = ()
                self._parts[shard.index] = part
                self._owed -= 1
                self._progress.committed(shard.index, part.footer.items, part.footer.failed)
                if self._deadline is not None:
                    self._fleet.stop(number)
                    del self._replicas[number]
            case Lost(number, reason, crashed):
                del self._replicas[number]
                self._owe_again(replica, reason, crashed)

    def _start_again(self, reason: str, crashed: bool) -> None:
        """A machine that went while a replica loaded says nothing about the next one."""
        self._say(f"a replica did not start: {reason}")
        self._failed_starts += crashed
        if self._failed_starts >= FAILED_STARTS and not self._stop_signals():
            raise ReplicaError(f"{FAILED_STARTS} replicas in a row did not start: {reason}")

    def _owe_again(self, replica: _Replica, reason: str, crashed: bool) -> None:
        """Only the shard that ran is to blame, and only for a crash."""
        if replica.shards:
            running = replica.shards.popleft()
            self._progress.lost(running.shard.index)
            if crashed:
                self._say(
                    f"a replica died in shard {running.shard.index}, which is owed again: {reason}"
                )
            if crashed and not self._stop_signals():  # a run that stops blames nobody
                self._ledger.charge(running, replica.batch, reason)
            else:
                self._ledger.give_back(running)
        for waiting in replica.shards:
            self._ledger.give_back(waiting)

    def _drain(self) -> None:
        """Let the shards under way end, until their time is over or a second signal comes."""
        if self._deadline is None:
            self._deadline = self._clock() + self._drain_seconds
            self._say(f"stopping; shards under way have {self._drain_seconds:g} s to end")
        under_way = any(replica.shards for replica in self._replicas.values())
        patient = self._stop_signals() == 1 and self._clock() < self._deadline
        if not (under_way and patient):
            raise StoppedError(
                f"stopped with {self._owed:,} shards owed; {self._again} goes on with them"
            )
