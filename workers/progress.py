"""How far a run is: what is counted while it goes on, and one view of it for whoever looks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SECONDS_BETWEEN_VIEWS = 0.5
SECONDS_OF_SPEED = 300.0
"""The speed is that of the last five minutes: machines come and go."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A run as its driver sees it now."""

    run_id: str
    images: int
    """Committed, or looked at by a replica that lives; at most `of`."""
    of: int
    """Images of the plan."""
    before: int
    """Of `images`, those that an earlier driver committed; they are in none of the next three."""
    labelled: int
    failed: int
    failed_by_code: Mapping[str, int]
    """Adds up to `failed`."""
    images_per_second: float
    shards: int
    """Committed, by whomever."""
    shards_of: int
    """Shards of the plan."""
    replicas: int
    """Those that have loaded their model."""
    replicas_wanted: int
    crashes: int
    """Replicas that died, or were ended because they hung; not those of lost machines."""
    ended: bool
    """This driver is through: it has no replicas any more, whether the run is whole or not."""

    @property
    def owed(self) -> int:
        """Images that are not committed."""
        return self.of - self.before - self.labelled - self.failed

    @property
    def seconds_left(self) -> float | None:
        """None while there is no speed."""
        speed = self.images_per_second
        return (self.of - self.images) / speed if speed > 0 else None


Show = Callable[[Standing], None]


def unseen(standing: Standing) -> None:
    """Shows nobody anything."""


@dataclass(slots=True)
class Progress:
    """Counts images. What an earlier driver committed is done, and counts not towards the speed."""

    run_id: str
    images: int
    """Of the whole plan."""
    shards: int
    """Likewise."""
    images_before: int
    """That an earlier driver committed."""
    shards_before: int
    clock: Callable[[], float]
    _labelled: int = 0
    _failed: int = 0
    _failed_by_code: Counter[str] = field(default_factory=Counter)
    _shards: int = 0
    _crashes: int = 0
    _under_way: dict[int, int] = field(default_factory=dict)
    _seen_at: deque[tuple[float, int]] = field(default_factory=deque)
    """When how many were seen; the first one is where the speed is counted from."""
    _viewed_at: float = 0.0

    def __post_init__(self) -> None:
        self._viewed_at = self.clock()
        self._seen_at.append((self._viewed_at, self.images_before))

    def started(self) -> None:
        """A replica has loaded its model: if it is the first, from now on there is a speed."""
        if self.images_seen == self.images_before:
            self._seen_at[0] = (self.clock(), self.images_before)

    def began_batch(self, shard: int, images_before: int) -> None:
        """A replica has looked at `images_before` images of `shard`, not yet committed."""
        self._under_way[shard] = images_before

    def lost(self, shard: int) -> None:
        """The replica that ran `shard` is gone, and its uncommitted work with it."""
        self._under_way.pop(shard, None)

    def crashed(self) -> None:
        """A replica's process died, or had to be ended."""
        self._crashes += 1

    def committed(self, shard: int, labelled: int, failed_by_code: Mapping[str, int]) -> None:
        """The part of `shard` stands; it holds so many rows."""
        self._under_way.pop(shard, None)
        self._labelled += labelled
        self._failed += sum(failed_by_code.values())
        self._failed_by_code.update(failed_by_code)
        self._shards += 1

    @property
    def images_seen(self) -> int:
        """Committed, or looked at by a replica that lives."""
        done = self.images_before + self._labelled + self._failed
        return done + sum(self._under_way.values())

    @property
    def images_per_second(self) -> float:
        """Of this driver, in its last minutes."""
        since, seen = self._seen_at[0]
        seconds = self.clock() - since
        return max(0.0, (self.images_seen - seen) / seconds) if seconds > 0 else 0.0

    def due(self) -> bool:
        """Whether it is time to look at the run again."""
        now = self.clock()
        if now - self._viewed_at < SECONDS_BETWEEN_VIEWS:
            return False
        self._viewed_at = now
        self._seen_at.append((now, self.images_seen))
        while now - self._seen_at[1][0] >= SECONDS_OF_SPEED:
            self._seen_at.popleft()
        return True

    def standing(self, replicas: int, wanted: int, ended: bool = False) -> Standing:
        """How far the run is, with so many replicas that run, and are wanted."""
        return Standing(
            run_id=self.run_id,
            images=self.images_seen,
            of=self.images,
            before=self.images_before,
            labelled=self._labelled,
            failed=self._failed,
            failed_by_code=dict(self._failed_by_code),
            images_per_second=self.images_per_second,
            shards=self.shards_before + self._shards,
            shards_of=self.shards,
            replicas=replicas,
            replicas_wanted=wanted,
            crashes=self._crashes,
            ended=ended,
        )


def counted(count: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """`noun` as it follows that count."""
    return noun if count == 1 else f"{noun}s"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
