"""Who runs which shard, without processes, store or clock."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from schemas.image import Shard
from schemas.outcome import ReplicaError, StoppedError
from schemas.run import PartRecord
from tests.fleets import FakeFleet
from tests.runs import refs
from workers.dispatch import (
    CRASHES_IN_A_ROW,
    FAILED_STARTS,
    PATIENT_SECONDS,
    SECONDS_BETWEEN_LOOKS,
    SECONDS_BETWEEN_WAITING,
    SHARDS_AT_ONCE,
    STRAGGLING_SECONDS,
    Dispatch,
    Terms,
)
from workers.fleet import Begun, Event
from workers.ledger import MAX_CRASHES, Ledger
from workers.messages import BatchBegun, Caution
from workers.progress import SECONDS_BETWEEN_VIEWS, Progress, Standing
from workers.threads import ahead_of

SILENCE = 1000.0


def shards(count: int) -> list[Shard]:
    images = refs(2 * count)
    return [Shard(index, tuple(images[2 * index : 2 * index + 2])) for index in range(count)]


@dataclass
class Scene:
    """A dispatch whose fleet does what a test's script says."""

    fleet: FakeFleet
    said: list[str] = field(default_factory=list)
    shown: list[Standing] = field(default_factory=list)
    signals: int = 0
    now: float = 0.0
    wanted: int = 0

    def run(
        self,
        script: Iterator[list[Event]],
        count: int,
        replicas: int,
        owed: Iterator[Shard | None] | None = None,
    ) -> dict[int, PartRecord]:
        self.wanted = replicas
        self.fleet.script = script
        return Dispatch(
            self.fleet,
            Ledger(owed or iter(shards(count))),
            shards=count,
            wanted=lambda: self.wanted,
            terms=Terms(SILENCE, drain_seconds=25, again="the same command"),
            progress=Progress("00000001", 2 * count, count, 0, 0, lambda: self.now),
            say=self.said.append,
            show=self.shown.append,
            clock=lambda: self.now,
            stop_signals=lambda: self.signals,
        ).run()


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeFleet())


def test_every_replica_has_one_shard_before_any_has_two(scene: Scene) -> None:
    """A replica gets a second shard only while none that is idle, or coming, could take it."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        assert [given[:2] for given in fleet.given] == [(0, 0), (0, 1)]
        yield [fleet.starts(1)]
        assert [given[:2] for given in fleet.given] == [(0, 0), (0, 1), (1, 2)]
        yield [fleet.commits(0), fleet.commits(0)]
        yield [fleet.commits(1)]

    assert scene.run(script(), count=3, replicas=2).keys() == {0, 1, 2}
    assert all(caution is None for _, _, caution in fleet.given)


def test_the_last_shard_waits_for_a_replica_that_is_coming(scene: Scene) -> None:
    """Where as many replicas start as there are shards, each gets one."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.starts(1)]
        yield [fleet.commits(0), fleet.commits(1)]

    scene.run(script(), count=2, replicas=2)
    assert [given[:2] for given in fleet.given] == [(0, 0), (1, 1)]


def test_there_are_no_more_replicas_than_shards(scene: Scene) -> None:
    """A replica that would find nothing to do is not started."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0), fleet.starts(1)]
        yield [fleet.commits(0), fleet.commits(1)]

    scene.run(script(), count=2, replicas=50)
    assert fleet.started == 2


def test_a_crash_is_charged_to_the_shard_that_ran(scene: Scene) -> None:
    """The shard that only waited at the replica is run again as if nothing had been."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.begins(0)]
        yield [fleet.dies(0)]
        yield [fleet.starts(1)]
        yield [fleet.commits(1)]
        yield [fleet.commits(1)]

    scene.run(script(), count=2, replicas=1)
    assert fleet.given == [(0, 0, None), (0, 1, None), (1, 1, None), (1, 0, Caution())]
    assert "shard 0" in scene.said[0]


def test_a_lost_machine_is_charged_to_nobody(scene: Scene) -> None:
    """However often machines go, their shards are run again and none is to blame."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        for replica in range(MAX_CRASHES + 2):
            yield [fleet.starts(replica)]
            yield [fleet.begins(replica), fleet.dies(replica, crashed=False)]
        yield [fleet.starts(MAX_CRASHES + 2)]
        yield [fleet.commits(MAX_CRASHES + 2)]

    assert scene.run(script(), count=1, replicas=1).keys() == {0}
    assert all(caution is None for _, _, caution in fleet.given)


def test_an_image_that_kills_is_bisected_and_condemned(scene: Scene) -> None:
    """Careful, then the batch, then halves of it; then the image alone is looked at no more."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.dies(0)]
        yield [fleet.starts(1)]
        yield [fleet.begins(1, 0, 1), fleet.dies(1)]
        yield [fleet.starts(2)]
        yield [fleet.begins(2, 0)]
        yield [fleet.begins(2, 1)]
        yield [fleet.dies(2)]
        yield [fleet.starts(3)]
        yield [fleet.commits(3)]

    scene.run(script(), count=1, replicas=1)
    cautions = [caution for _, _, caution in fleet.given]
    assert cautions[:3] == [None, Caution(), Caution(suspects=(0, 1))]
    assert cautions[3] is not None
    assert [position for position, _ in cautions[3].condemned] == [1]
    assert cautions[3].condemned[0][1].error_code == "replica_crashed"


def test_a_crash_after_the_last_batch_blames_no_image(scene: Scene) -> None:
    """A careful replica that dies while it writes the part was through with its images."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.dies(0)]
        yield [fleet.starts(1)]
        yield [fleet.begins(1, 1), Begun(1, BatchBegun((), 2))]
        yield [fleet.dies(1)]
        yield [fleet.starts(2)]
        assert fleet.given[-1] == (2, 0, Caution())
        yield [fleet.commits(2)]

    assert scene.run(script(), count=1, replicas=1).keys() == {0}


def test_crashes_that_nothing_gets_through_stop_the_run(scene: Scene) -> None:
    """A machine that cannot work condemns no image: replicas that die at whatever they look at."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        for replica in range(CRASHES_IN_A_ROW):
            yield [fleet.starts(replica)]
            yield [fleet.begins(replica), fleet.dies(replica)]

    with pytest.raises(ReplicaError, match=r"20 replicas in a row were lost .*killed"):
        scene.run(script(), count=30, replicas=1)


def test_failures_that_may_be_the_stores_are_settled_at_the_end(scene: Scene) -> None:
    """What a replica keeps back is committed when it has nothing else to do, and not before."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.keeps_back(0)]
        assert not fleet.settling
        yield [fleet.keeps_back(0)]
        yield [fleet.commits(0), fleet.commits_what_it_kept_back(0)]
        yield []
        assert fleet.settling == [0]
        yield [fleet.commits_what_it_kept_back(0), fleet.settles(0)]

    assert scene.run(script(), count=3, replicas=1).keys() == {0, 1, 2}


def test_what_was_kept_back_is_owed_again_with_its_replica(scene: Scene) -> None:
    """A replica that dies in a later shard takes uncommitted ones along, and blames them not."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.keeps_back(0)]
        yield [fleet.begins(0), fleet.dies(0)]
        yield [fleet.starts(1)]
        yield [fleet.commits(1)]
        yield [fleet.commits(1)]

    assert scene.run(script(), count=2, replicas=1).keys() == {0, 1}
    assert fleet.given[2:] == [(1, 0, None), (1, 1, Caution())]


def test_a_worn_out_replica_is_replaced(scene: Scene) -> None:
    """It is ended once it has committed; the shard that waited at it is nobody's fault."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.commits(0, worn_out=True)]
        yield [fleet.starts(1)]
        yield [fleet.commits(1)]

    assert scene.run(script(), count=2, replicas=1).keys() == {0, 1}
    assert fleet.stopped == [0]
    assert fleet.given[-1] == (1, 1, None)


def test_a_silent_replica_is_ended_and_its_batch_bisected(scene: Scene) -> None:
    """Where no thread of it can speak any more, the limit is the driver's."""
    fleet = scene.fleet

    def silence() -> Iterator[list[Event]]:
        """Long enough, and all the time replica 1 is heard."""
        for _ in range(int(SILENCE / SECONDS_BETWEEN_LOOKS) + 2):
            scene.now += SECONDS_BETWEEN_LOOKS
            yield [fleet.begins(1)]

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0), fleet.starts(1)]
        yield [fleet.begins(0)]
        yield from silence()
        assert fleet.stopped == [0]
        yield [fleet.starts(2)]
        yield [fleet.begins(2, 0, 1)]
        yield from silence()
        yield [fleet.starts(3)]
        assert fleet.given[-1] == (3, 0, Caution(suspects=(0, 1)))
        yield [fleet.commits(3), fleet.commits(1)]

    assert scene.run(script(), count=2, replicas=2).keys() == {0, 1}


def test_a_driver_that_slept_ends_nobody(scene: Scene) -> None:
    """After a pause of its own it has heard nothing of anybody, and that is no sign."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.begins(0)]
        scene.now += 3 * SILENCE
        yield []
        assert not fleet.stopped
        yield [fleet.commits(0)]

    assert scene.run(script(), count=1, replicas=1).keys() == {0}


def test_a_straggler_is_doubled_and_the_first_commit_wins(scene: Scene) -> None:
    """When nothing is left to begin, an idle replica runs what takes twice as long as usual."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0), fleet.starts(1)]
        scene.now += STRAGGLING_SECONDS
        yield [fleet.commits(0)]
        yield []
        assert fleet.given == [(0, 0, None), (1, 1, None)]
        scene.now += STRAGGLING_SECONDS + 1
        yield []
        yield []
        assert fleet.given[2:] == [(0, 1, None)]
        yield [fleet.commits(0)]

    parts = scene.run(script(), count=2, replicas=2)
    assert parts.keys() == {0, 1}


def test_a_twins_late_answer_counts_once(scene: Scene) -> None:
    """The loser's commit is the winner's part: nothing is counted twice, nothing is owed again."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0), fleet.starts(1), fleet.starts(2)]
        scene.now += STRAGGLING_SECONDS
        yield [fleet.commits(0)]
        scene.now += 10 * STRAGGLING_SECONDS
        yield []
        yield []
        assert fleet.given[3] == (0, 1, None)
        yield [fleet.commits(1)]
        yield [fleet.commits(0)]
        yield [fleet.commits(2)]

    assert scene.run(script(), count=3, replicas=3).keys() == {0, 1, 2}


def test_replicas_come_with_the_cluster(scene: Scene) -> None:
    """What a growing cluster has room for is started while the run goes on."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        scene.wanted = 3
        yield []
        assert fleet.started == 1
        scene.now += SECONDS_BETWEEN_LOOKS
        yield []
        yield []
        assert fleet.started == 3
        yield [fleet.starts(1), fleet.starts(2)]
        while any(fleet.shards.values()):
            yield [fleet.commits(number) for number in fleet.shards if fleet.shards[number]]

    assert scene.run(script(), count=9, replicas=1).keys() == set(range(9))
    assert {replica for replica, _, _ in fleet.given} == {0, 1, 2}


def test_three_replicas_in_a_row_that_do_not_start_stop_the_run(scene: Scene) -> None:
    """One that starts in between makes the count begin anew."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.does_not_start(0)]
        yield [fleet.does_not_start(1)]
        yield [fleet.starts(2)]
        yield [fleet.dies(2, crashed=False)]
        yield [fleet.does_not_start(3)]
        yield [fleet.does_not_start(4)]
        yield [fleet.does_not_start(5, "no such driver")]

    with pytest.raises(ReplicaError, match="3 replicas in a row did not start: no such driver"):
        scene.run(script(), count=1, replicas=1)


def test_machines_that_go_while_replicas_start_do_not_stop_the_run(scene: Scene) -> None:
    """However many are lost before their replica has loaded, another one is started."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        for replica in range(FAILED_STARTS + 2):
            yield [fleet.does_not_start(replica, "its machine is gone", crashed=False)]
        yield [fleet.starts(FAILED_STARTS + 2)]
        yield [fleet.commits(FAILED_STARTS + 2)]

    assert scene.run(script(), count=1, replicas=1).keys() == {0}


def test_waiting_for_a_replica_is_said(scene: Scene) -> None:
    """Until one runs, a line tells, once a minute, what each asks for."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        scene.now += PATIENT_SECONDS - 1
        yield []
        assert not scene.said
        for _ in range(3):
            scene.now += 5
            yield []
        scene.now += SECONDS_BETWEEN_WAITING
        yield []
        scene.now += SECONDS_BETWEEN_WAITING
        yield [fleet.starts(0)]
        yield [fleet.commits(0)]

    scene.run(script(), count=1, replicas=1)
    waiting = "no replica runs yet: each asks for a moon, the cluster has none"
    assert scene.said == [waiting, waiting]


def test_how_far_it_is_is_shown_now_and_then_and_at_the_end(scene: Scene) -> None:
    """What is shown has replicas and crashes; the last one has ended, also of a stop."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.begins(0)]
        assert not scene.shown
        scene.now += SECONDS_BETWEEN_VIEWS
        yield [fleet.dies(0)]
        scene.now += SECONDS_BETWEEN_VIEWS
        yield [fleet.starts(1)]
        scene.now += SECONDS_BETWEEN_VIEWS / 2
        scene.signals = 2
        yield [fleet.commits(1)]

    with pytest.raises(StoppedError):
        scene.run(script(), count=2, replicas=1)
    told = [(one.replicas, one.replicas_wanted, one.crashes, one.ended) for one in scene.shown]
    assert told == [(0, 1, 1, False), (1, 1, 1, False), (0, 0, 1, True)]
    last = scene.shown[-1]
    assert (last.images, last.of, last.labelled, last.owed) == (2, 4, 2, 2)
    assert (last.shards, last.shards_of) == (1, 2)
    assert last.images_per_second == 2 / (SECONDS_BETWEEN_VIEWS / 2)  # since a replica started


def test_a_stopping_run_blames_nobody(scene: Scene) -> None:
    """What would be the last crash, or the last start, of a run that goes on, ends a drain as any
    other does.
    """
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        for replica in range(MAX_CRASHES - 1):
            yield [fleet.starts(replica)]
            yield [fleet.dies(replica)]
        yield [fleet.starts(MAX_CRASHES - 1)]
        scene.signals = 1
        yield [fleet.dies(MAX_CRASHES - 1)]

    with pytest.raises(StoppedError, match="1 shards owed; the same command goes on"):
        scene.run(script(), count=1, replicas=1)


def test_a_signal_ends_what_runs_and_begins_nothing(scene: Scene) -> None:
    """The shard that runs is waited for, the one that waits is not."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        scene.signals = 1
        yield [fleet.begins(0)]
        scene.now = 24.9
        yield [fleet.commits(0)]

    with pytest.raises(StoppedError, match="3 shards owed"):
        scene.run(script(), count=4, replicas=1)
    assert fleet.stopped == [0]
    assert len(fleet.given) == SHARDS_AT_ONCE


def test_a_signal_waits_for_what_is_committed_on_the_way(scene: Scene) -> None:
    """A replica that commits what it had kept back is not yet through with the shard that runs."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.keeps_back(0)]
        scene.signals = 1
        yield [fleet.begins(0)]
        yield [fleet.commits_what_it_kept_back(0)]
        assert not fleet.stopped
        yield [fleet.commits(0)]

    with pytest.raises(StoppedError, match="1 shards owed"):
        scene.run(script(), count=3, replicas=1)
    assert fleet.stopped == [0]


def test_a_signal_waits_for_a_replica_that_settles(scene: Scene) -> None:
    """What it commits at the end has its time as well, and may be the last that was owed."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        yield [fleet.keeps_back(0)]
        yield []
        assert fleet.settling == [0]
        scene.signals = 1
        yield []
        yield [fleet.commits_what_it_kept_back(0)]

    assert scene.run(script(), count=1, replicas=1).keys() == {0}


def test_a_plan_that_is_not_read_holds_nobody_up(scene: Scene) -> None:
    """While a page of the plan stalls, parts are heard of, nothing is doubled, a signal ends."""
    fleet, stalled = scene.fleet, threading.Event()

    def plan() -> Iterator[Shard]:
        yield shards(3)[0]
        stalled.wait()

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0), fleet.starts(1)]
        while not fleet.given:
            yield []
        yield [fleet.begins(0)]
        scene.now += 10 * STRAGGLING_SECONDS
        yield []
        yield [fleet.commits(0)]
        assert [given[:2] for given in fleet.given] == [(0, 0)]
        scene.signals = 1
        yield []

    try:
        with pytest.raises(StoppedError, match="2 shards owed"):
            scene.run(script(), count=3, replicas=2, owed=ahead_of(plan(), 16))
    finally:
        stalled.set()


def test_a_shard_that_was_on_the_way_is_given_in_the_next_turn(scene: Scene) -> None:
    """An idle replica gets it as soon as it is there, and is not sent to settle before."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        assert not fleet.given
        yield []
        yield [fleet.keeps_back(0)]
        assert not fleet.settling
        yield []
        yield [fleet.commits(0), fleet.commits_what_it_kept_back(0)]

    first, second = shards(2)
    owed = iter([None, first, None, None, second])
    assert scene.run(script(), count=2, replicas=1, owed=owed).keys() == {0, 1}


@pytest.mark.parametrize("end", ["time", "signal"])
def test_a_drain_ends(scene: Scene, end: str) -> None:
    """After --drain-seconds, or a second signal, shards under way are abandoned."""
    fleet = scene.fleet

    def script() -> Iterator[list[Event]]:
        yield [fleet.starts(0)]
        scene.signals = 1
        yield [fleet.begins(0)]
        if end == "time":
            scene.now += 25
        else:
            scene.signals = 2
        yield []

    with pytest.raises(StoppedError, match="2 shards owed"):
        scene.run(script(), count=2, replicas=1)


@pytest.mark.parametrize("seed", range(200))
def test_whatever_dies_every_shard_is_committed_once(scene: Scene, seed: int) -> None:
    """Replicas that start, crash and vanish at random: each shard is at one place at any time."""
    dice, fleet = random.Random(seed), scene.fleet
    crashes: Counter[int] = Counter()
    running: set[int] = set()
    misses = 0

    def one() -> Event:
        nonlocal misses
        fresh = [number for number in fleet.shards if number not in running]
        busy = [number for number in fleet.shards if fleet.shards[number]]
        number = dice.choice(fresh + busy)
        if number in fresh:
            if misses < 2 and dice.random() < 0.2:
                misses += 1
                return fleet.does_not_start(number)
            misses = 0
            running.add(number)
            return fleet.starts(number)
        shard = fleet.shards[number][0]
        chance = dice.random()
        if chance < 0.1:
            return fleet.dies(number, crashed=False)
        if chance < 0.2 and crashes[shard.index] < MAX_CRASHES - 1:
            crashes[shard.index] += 1
            return fleet.dies(number)
        return fleet.begins(number, 0, 1) if chance < 0.5 else fleet.commits(number)

    def script() -> Iterator[list[Event]]:
        while True:
            held = [shard.index for queue in fleet.shards.values() for shard in queue]
            begun = {shard for _, shard, _ in fleet.given}
            assert len(begun) == 30 or len(held) == len(set(held)), "doubled, and others wait"
            assert max(Counter(held).values(), default=0) <= 2
            assert all(len(queue) <= SHARDS_AT_ONCE for queue in fleet.shards.values())
            yield [one()]

    parts = scene.run(script(), count=30, replicas=4)
    assert parts.keys() == set(range(30))
