"""What a dispatch asks of replicas, wherever they run, and what it hears of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.image import Shard
from schemas.run import PartRecord
from workers import messages
from workers.messages import BatchBegun, Caution


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
    """A shard is committed: the replica's first one, or one that it had kept back."""

    replica: int
    part: PartRecord
    worn_out: bool = False
    """The replica does what it is given, and wants to be replaced."""


@dataclass(frozen=True, slots=True)
class KeptBack:
    """The replica is through with its first shard and commits it later (`messages.Withheld`)."""

    replica: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The replica has committed all that it kept back."""

    replica: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The replica is gone, with all its shards."""

    replica: int
    reason: str
    crashed: bool
    """False where the machine went away, for which no shard is to blame."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The replica has looked at a shard of which nothing is kept."""

    replica: int
    told: messages.Rehearsed


Event = Started | NotStarted | Begun | Done | KeptBack | Settled | Lost | Rehearsed


class Fleet(Protocol):
    """Replicas, known by numbers."""

    def start(self) -> int:
        """Begin to start one more; Started or NotStarted follows."""
        ...

    def give(self, replica: int, shard: Shard, caution: Caution | None) -> None:
        """Queue a shard at a started replica; events follow until Done, KeptBack or Lost."""
        ...

    def settle(self, replica: int) -> None:
        """Have a replica without shards commit what it kept back; Done for each, then Settled."""
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
