"""Fleets without processes: one for tests of the dispatch, one for tests of whole commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from schemas.image import Shard
from schemas.run import PartFooter, PartRecord, RunNames
from workers.cluster import Labeller, Load, Say
from workers.fleet import (
    Begun,
    Done,
    Event,
    KeptBack,
    Lost,
    NotStarted,
    Rehearsed,
    Settled,
    Started,
)
from workers.messages import Assignment, BatchBegun, Caution, Committed, Message, Withheld
from workers.messages import Rehearsed as Told

NAMES = RunNames(1)


def part_of(shard: Shard) -> PartRecord:
    """The part of a shard without failures."""
    footer = PartFooter(NAMES.run_id, shard.index, "0" * 64, "attempt", len(shard), 0)
    return PartRecord(NAMES.part(shard.index), "0" * 64, footer)


@dataclass
class FakeFleet:
    """Tells the events of a test's script, and notes what it is told."""

    script: Iterator[list[Event]] = field(default_factory=lambda: iter(()))
    shards: dict[int, deque[Shard]] = field(default_factory=dict)
    """What each living replica has."""
    kept_back: dict[int, list[Shard]] = field(default_factory=dict)
    given: list[tuple[int, int, Caution | None]] = field(default_factory=list)
    """Replica, shard, caution."""
    settling: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    started: int = 0

    def start(self) -> int:
        self.shards[self.started] = deque()
        self.kept_back[self.started] = []
        self.started += 1
        return self.started - 1

    def give(self, replica: int, shard: Shard, caution: Caution | None) -> None:
        self.shards[replica].append(shard)
        self.given.append((replica, shard.index, caution))

    def settle(self, replica: int) -> None:
        assert not self.shards[replica]
        self.settling.append(replica)

    def stop(self, replica: int) -> None:
        del self.shards[replica]
        self.stopped.append(replica)

    def needs(self) -> str:
        return "each asks for a moon, the cluster has none"

    def events(self, seconds: float) -> list[Event]:
        return next(self.script)

    # what happens to a replica

    def starts(self, replica: int) -> Event:
        return Started(replica)

    def does_not_start(
        self, replica: int, reason: str = "no device", crashed: bool = True
    ) -> Event:
        del self.shards[replica]
        return NotStarted(replica, reason, crashed)

    def begins(self, replica: int, *positions: int) -> Event:
        return Begun(replica, BatchBegun(positions or (0,), 0))

    def commits(self, replica: int, worn_out: bool = False) -> Event:
        return Done(replica, part_of(self.shards[replica].popleft()), worn_out)

    def keeps_back(self, replica: int) -> Event:
        self.kept_back[replica].append(self.shards[replica].popleft())
        return KeptBack(replica)

    def commits_what_it_kept_back(self, replica: int) -> Event:
        return Done(replica, part_of(self.kept_back[replica].pop(0)))

    def settles(self, replica: int) -> Event:
        return Settled(replica)

    def dies(self, replica: int, crashed: bool = True) -> Event:
        del self.shards[replica]
        return Lost(replica, "killed" if crashed else "its machine is gone", crashed)


class FleetHere:
    """Takes the place of a RayFleet: real replicas in this process, one word at a time.

    A process of its own costs each replica the seconds in which it imports torch.
    """

    def __init__(
        self, assignment: Assignment, cpus: int, gpus: float, load: Load, say: Say
    ) -> None:
        self._assignment = assignment
        self._load = load
        self._replicas: dict[int, Labeller] = {}
        self._started: deque[Event] = deque()
        self._news: deque[tuple[int, int | None, Iterator[Message]]] = deque()
        """Replica, shard or None, what it has to say of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self._replicas.clear()

    def start(self) -> int:
        number = len(self._replicas)
        self._replicas[number] = self._load(self._assignment)
        self._started.append(Started(number))
        return number

    def give(self, replica: int, shard: Shard, caution: Caution | None) -> None:
        said = self._replicas[replica].process(shard, caution)
        self._news.append((replica, shard.index, said))

    def settle(self, replica: int) -> None:
        self._news.append((replica, None, self._replicas[replica].settle()))

    def rehearse(self, replica: int, shard: Shard) -> None:
        self._news.append((replica, None, self._replicas[replica].rehearse(shard)))

    def stop(self, replica: int) -> None:
        self._news = deque(one for one in self._news if one[0] != replica)

    def needs(self) -> str:
        return "nothing"

    def events(self, seconds: float) -> list[Event]:
        if self._started:
            return [self._started.popleft()]
        if not self._news:
            return []
        replica, shard, news = self._news[0]
        said = next(news)
        if isinstance(said, BatchBegun):
            return [Begun(replica, said)]
        if isinstance(said, Committed) and said.part.footer.shard != shard:
            return [Done(replica, said.part, said.worn_out)]
        self._news.popleft()
        if isinstance(said, Committed):
            return [Done(replica, said.part, said.worn_out)]
        if isinstance(said, Told):
            return [Rehearsed(replica, said)]
        return [KeptBack(replica) if isinstance(said, Withheld) else Settled(replica)]
