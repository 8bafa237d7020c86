"""Who runs which shard: hands shards to replicas, and owns every retry. Knows no Ray and no store.

A replica has at most SHARDS_AT_ONCE shards, in the order in which they were given. A replica that
is lost is replaced; its shards are owed again. When nothing is left to hand out, an idle replica
runs a straggler's shard a second time, and whoever commits first is right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.outcome import (
    Failure,
    ReplicaCrashedError,
    ReplicaError,
    StoppedError,
    TimedOutError,
)
from schemas.run import PartRecord
from workers.fleet import Begun, Done, Event, Fleet, KeptBack, Lost, NotStarted, Settled, Started
from workers.ledger import Attempt, Ledger
from workers.progress import Progress, Show
from workers.timesheet import Timesheet

SHARDS_AT_ONCE = 2
"""The second one waits at the replica, so that it never waits for the driver."""
FAILED_STARTS = 3
"""So many replicas in a row that do not start stop the run."""
CRASHES_IN_A_ROW = 20
"""So many crashes without a batch that any replica got through stop the run."""
POLL_SECONDS = 0.5
"""How long to wait for news before looking at the clock and at signals again."""
NEWS_A_SECOND = 50
"""So many words of replicas on their way through a shard are heard, however many there are."""
SECONDS_BETWEEN_WAITING = 60.0
"""Between two lines that say that no replica runs yet."""
PATIENT_SECONDS = 30.0
"""In which a replica usually has its place and its model: nothing is said before."""
SECONDS_BETWEEN_LOOKS = 10.0
"""At the size of the cluster, and for replicas that have fallen silent."""
STRAGGLING = 2.0
"""A shard that takes so many times as long as others of its size is a straggler."""
STRAGGLING_SECONDS = 5.0
"""No shard is one before."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the run allows itself."""

    silence_seconds: float
    """After which a replica with work is taken for hanging: what a batch may take, and more."""
    drain_seconds: float
    """What shards under way have to end after a signal."""
    again: str
    """What people are to do when the run is stopped: `the same command`."""


@dataclass(slots=True)
class _Replica:
    started: bool = False
    attempts: deque[Attempt] = field(default_factory=deque)
    """The first one runs, the others wait."""
    kept_back: list[Attempt] = field(default_factory=list)
    settling: bool = False
    batch: tuple[int, ...] = ()
    """What it looks at, as far as it said so."""
    running_since: float = 0.0
    heard_at: float = 0.0

    @property
    def idle(self) -> bool:
        return self.started and not self.attempts and not self.settling

    @property
    def behind(self) -> list[Attempt]:
        """What is owed again when it goes, beside the shard that runs."""
        return [*list(self.attempts)[1:], *self.kept_back]


class Dispatch:
    """Runs all that a ledger owes on the replicas of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        ledger: Ledger,
        shards: int,
        wanted: Callable[[], int],
        terms: Terms,
        progress: Progress,
        say: Callable[[str], None],
        show: Show,
        clock: Callable[[], float],
        stop_signals: Callable[[], int],
    ) -> None:
        """`shards` are owed; `wanted` tells how many replicas there should be now."""
        self._fleet = fleet
        self._ledger = ledger
        self._owed = shards
        self._wanted = wanted
        self._terms = terms
        self._progress = progress
        self._say = say
        self._show = show
        self._clock = clock
        self._stop_signals = stop_signals
        self._replicas: dict[int, _Replica] = {}
        self._idle: dict[int, _Replica] = {}
        self._with_one: dict[int, _Replica] = {}
        """Those with room for a second shard."""
        self._size = 0
        self._next_look = clock() + SECONDS_BETWEEN_LOOKS
        self._next_doubling = clock()
        self._failed_starts = 0
        self._crashes = 0
        self._seconds_an_image = 0.0
        self._deadline: float | None = None
        self._next_waiting = clock() + PATIENT_SECONDS
        self._parts: dict[int, PartRecord] = {}
        self.timesheet = Timesheet(clock)

    def run(self) -> dict[int, PartRecord]:
        """The parts that were committed, by shard, when all are.

        However it ends, what came of it is shown.

        Raises:
            StoppedError: somebody asked to stop, and the shards under way had their time.
            ReplicaError: replicas do not start, or they crash and no image is to blame.
            BucketsightError: what a replica raised that every replica would.
        """
        self._size = self._wanted()
        try:
            while self._owed:
                self._turn()
        finally:
            self._show(self._progress.standing(0, 0, ended=True))
        return self._parts

    def _turn(self) -> None:
        if self._stop_signals():
            self._drain()
        else:
            self._start_replicas()
            self._hand_out()
        for event in self._fleet.events(POLL_SECONDS):
            self._handle(event)
        if self._clock() >= self._next_look:
            self._look_around()
        if self._progress.due():
            # more replicas than shards are never started
            wanted = max(len(self._replicas), min(self._size, self._owed))
            self._show(self._progress.standing(self.running, wanted))
        self._tell_of_waiting()

    @property
    def running(self) -> int:
        """Replicas that have loaded their model."""
        return sum(replica.started for replica in list(self._replicas.values()))

    # giving

    def _start_replicas(self) -> None:
        while len(self._replicas) < min(self._size, self._owed):
            self._replicas[self._fleet.start()] = _Replica()

    def _hand_out(self) -> None:
        """A shard for each replica, then a second one while no idle replica could take it."""
        for number in list(self._idle):
            if not self._give(number):
                break
        coming = sum(not replica.started for replica in self._replicas.values()) + len(self._idle)
        for number in list(self._with_one)[: max(0, self._owed - self._ledger.out - coming)]:
            self._give(number)
        if self._idle and self._owed == self._ledger.out:
            self._finish_up()

    def _give(self, number: int) -> bool:
        """The next shard that is owed, to this replica; False: there is none."""
        attempt = self._ledger.take()
        if attempt is not None:
            self._run(number, attempt)
        return attempt is not None

    def _run(self, number: int, attempt: Attempt) -> None:
        replica = self._replicas[number]
        if not replica.attempts:
            replica.running_since = replica.heard_at = self._clock()
        replica.attempts.append(attempt)
        self._fleet.give(number, attempt.shard, attempt.caution)
        self._sort(number, replica)

    def _sort(self, number: int, replica: _Replica) -> None:
        """Keep the lists of those that can be given something."""
        for group, belongs in (
            (self._idle, replica.idle),
            (self._with_one, replica.started and len(replica.attempts) == 1),
        ):
            if belongs:
                group[number] = replica
            else:
                group.pop(number, None)

    def _finish_up(self) -> None:
        """Nothing is left to begin: what was kept back is committed, what straggles is doubled."""
        for number, replica in list(self._idle.items()):
            if replica.kept_back:
                replica.settling = True
                replica.heard_at = self._clock()
                self._fleet.settle(number)
                self._sort(number, replica)
        if self._clock() >= self._next_doubling:
            self._next_doubling = self._clock() + 1
            idle = [number for number, one in self._idle.items() if not one.kept_back]
            for number, attempt in zip(idle, self._stragglers(), strict=False):
                self._run(number, self._ledger.double(attempt.state))

    def _stragglers(self) -> list[Attempt]:
        """Shards worth a second try elsewhere: those that wait first, then the longest running."""
        waiting, running = [], []
        for replica in self._replicas.values():
            for place, attempt in enumerate(replica.attempts):
                if attempt.caution is not None or attempt.state.attempts > 1:
                    continue
                seconds = self._clock() - replica.running_since
                usual = self._seconds_an_image * len(attempt.shard)
                if place > 0:
                    waiting.append(attempt)
                elif usual and seconds > max(STRAGGLING * usual, STRAGGLING_SECONDS):
                    running.append((seconds, attempt))
        return waiting + [one for _, one in sorted(running, key=lambda pair: -pair[0])]

    # hearing

    def _handle(self, event: Event) -> None:
        replica = self._replicas.get(event.replica)
        if replica is None:  # it was ended while its last words were under way
            return
        replica.heard_at = self._clock()
        match event:
            case Started(number):
                replica.started = True
                self.timesheet.came(number)
                self._failed_starts = 0
                self._progress.started()
                self._sort(number, replica)
            case NotStarted(number, reason, crashed):
                self._forget(number)
                self._start_again(reason, crashed)
            case Begun(_, batch):
                if replica.batch:
                    self._crashes = 0
                replica.batch = batch.positions
                shard = replica.attempts[0].shard
                self._progress.began_batch(shard.index, batch.images_before)
            case Done(number, part, worn_out):
                ended = self._committed(replica, part)
                self._through(number, replica, worn_out, ended)
            case KeptBack(number):
                attempt = replica.attempts[0]
                self._progress.began_batch(attempt.shard.index, len(attempt.shard))
                replica.kept_back.append(attempt)
                self._next_shard(replica)
                self._through(number, replica)
            case Settled(number):
                replica.settling = False
                self._through(number, replica)
            case Lost(number, reason, crashed):
                self._forget(number)
                error = ReplicaCrashedError(f"the process that looked at it died: {reason}")
                self._owe_again(replica, Failure.of(error), crashed)

    def _committed(self, replica: _Replica, part: PartRecord) -> bool:
        """A part is there: of the shard that ran, or of one that was kept back, and then False."""
        index = part.footer.shard
        ran = bool(replica.attempts) and replica.attempts[0].shard.index == index
        if ran:
            attempt = replica.attempts[0]
            self._learn_speed(attempt, self._clock() - replica.running_since)
            self._next_shard(replica)
        else:
            kept_back = [one for one in replica.kept_back if one.shard.index == index]
            assert kept_back, f"a replica committed shard {index}, which it was not given"
            attempt = kept_back[0]
            replica.kept_back.remove(attempt)
        if part.footer.labelled:
            self._crashes = 0
        if self._ledger.commit(attempt):
            self._parts[index] = part
            self._owed -= 1
            self.timesheet.committed(attempt.shard.images, part)
            self._progress.committed(index, part.footer.labelled, part.footer.failed_by_code)
        return ran

    def _next_shard(self, replica: _Replica) -> None:
        replica.attempts.popleft()
        replica.batch = ()
        replica.running_since = self._clock()

    def _learn_speed(self, attempt: Attempt, seconds: float) -> None:
        """A mean that forgets: the newest shard counts a fifth."""
        pace = seconds / max(1, len(attempt.shard))
        known = self._seconds_an_image
        self._seconds_an_image = 0.8 * known + 0.2 * pace if known else pace

    def _through(
        self, number: int, replica: _Replica, worn_out: bool = False, ended: bool = True
    ) -> None:
        """It goes if it wants to; or if the run stops, and what it ran has `ended`."""
        self._sort(number, replica)
        if worn_out or (ended and self._deadline is not None):
            self._fleet.stop(number)
            self._forget(number)
            for attempt in (*replica.attempts, *replica.kept_back):
                self._ledger.give_back(attempt)

    def _forget(self, number: int) -> None:
        self.timesheet.went(number)
        for group in (self._replicas, self._idle, self._with_one):
            group.pop(number, None)

    # losing

    def _start_again(self, reason: str, crashed: bool) -> None:
        """A machine that went while a replica loaded says nothing about the next one."""
        self._say(f"a replica did not start: {reason}")
        self._failed_starts += crashed
        if crashed:
            self._progress.crashed()
        if self._failed_starts >= FAILED_STARTS and not self._stop_signals():
            raise ReplicaError(f"{FAILED_STARTS} replicas in a row did not start: {reason}")

    def _owe_again(self, replica: _Replica, failure: Failure, crashed: bool) -> None:
        """Only the shard that ran is to blame, and only for a crash."""
        if crashed:
            self._progress.crashed()
        for attempt in replica.behind:
            self._progress.lost(attempt.shard.index)
            self._ledger.give_back(attempt)
        if not replica.attempts:
            return
        running = replica.attempts[0]
        self._progress.lost(running.shard.index)
        if not crashed or self._stop_signals():  # a run that stops blames nobody
            self._ledger.give_back(running)
            return
        self._crashes += 1
        self._say(
            f"a replica was lost in shard {running.shard.index}, which is owed again: "
            f"{failure.error_message}"
        )
        self._ledger.charge(running, replica.batch, failure)
        if self._crashes >= CRASHES_IN_A_ROW:
            raise ReplicaError(
                f"{CRASHES_IN_A_ROW} replicas in a row were lost before they got through a batch: "
                f"{failure.error_message}"
            )

    def _look_around(self) -> None:
        """Now and then: the cluster's size, and replicas that hang."""
        overslept = self._clock() - self._next_look > SECONDS_BETWEEN_LOOKS
        self._next_look = self._clock() + SECONDS_BETWEEN_LOOKS
        self._size = self._wanted()
        if overslept:  # it was the driver that heard nothing
            for replica in self._replicas.values():
                replica.heard_at = self._clock()
        self._end_silent_replicas()

    def _end_silent_replicas(self) -> None:
        """One that says nothing for so long hangs where no other thread of it can speak."""
        heard_since = self._clock() - self._terms.silence_seconds
        for number, replica in list(self._replicas.items()):
            busy = replica.attempts or replica.settling
            if busy and replica.heard_at < heard_since:
                self._fleet.stop(number)
                self._forget(number)
                silent = f"its replica said nothing for {self._terms.silence_seconds:g} s"
                self._owe_again(replica, Failure.of(TimedOutError(silent)), crashed=True)

    def _drain(self) -> None:
        """Let the shards under way end, until their time is over or a second signal comes."""
        if self._deadline is None:
            self._deadline = self._clock() + self._terms.drain_seconds
            self._say(f"stopping; shards under way have {self._terms.drain_seconds:g} s to end")
        under_way = any(one.attempts or one.settling for one in self._replicas.values())
        patient = self._stop_signals() == 1 and self._clock() < self._deadline
        if not (under_way and patient):
            raise StoppedError(
                f"stopped with {self._owed:,} shards owed; {self._terms.again} goes on with them"
            )

    def _tell_of_waiting(self) -> None:
        """While no replica runs, now and then what they wait for."""
        if self._clock() >= self._next_waiting and not self.running:
            self._say(f"no replica runs yet: {self._fleet.needs()}")
            self._next_waiting = self._clock() + SECONDS_BETWEEN_WAITING
