"""A fleet without processes, for tests of the dispatch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.image import Shard
from schemas.run import PartFooter, PartRecord, RunNames
from workers.fleet import Begun, Done, Event, KeptBack, Lost, NotStarted, Settled, Started
from workers.messages import BatchBegun, Caution

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
