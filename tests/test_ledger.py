"""What is owed, shard by shard."""

import math
from collections.abc import Iterator

import pytest

from schemas.image import Shard
from schemas.outcome import ErrorCode, Failure, ReplicaError
from tests.runs import refs
from workers.batches import batches
from workers.ledger import MAX_CRASHES, Attempt, Ledger
from workers.messages import Caution

KILLED = Failure(ErrorCode.REPLICA_CRASHED, "the process that looked at it died: killed")


def ledger(count: int, images: int = 4) -> Ledger:
    return Ledger(iter([Shard(index, tuple(refs(images))) for index in range(count)]))


def take(owed: Ledger) -> Attempt:
    attempt = owed.take()
    assert attempt
    return attempt


def test_what_comes_back_is_handed_out_first() -> None:
    """A shard that was begun is finished before another one is begun."""
    owed = ledger(3)
    first, second = take(owed), take(owed)
    owed.give_back(second)
    owed.give_back(first)
    assert [take(owed).shard.index for _ in range(3)] == [1, 0, 2]
    assert owed.take() is None
    assert owed.out == 3


def test_the_plan_is_read_as_it_is_handed_out() -> None:
    """A plan of any size is never held whole."""
    read = []

    def plan() -> Iterator[Shard]:
        for index in range(100):
            read.append(index)
            yield Shard(index, ())

    owed = Ledger(plan())
    owed.take()
    owed.take()
    assert read == [0, 1]


def test_a_shard_that_is_on_the_way_is_not_the_end() -> None:
    """While the next shard is read there is none to take, but for what came back; then there is."""
    first, second = Shard(0, tuple(refs(4))), Shard(1, tuple(refs(4)))
    owed = Ledger(iter([None, first, None, None, second]))
    assert owed.take() is None
    attempt = take(owed)
    assert owed.take() is None
    owed.give_back(attempt)
    assert take(owed).shard == first
    assert owed.take() is None
    assert take(owed).shard == second
    assert owed.take() is None
    assert owed.out == 2


def test_a_doubled_shard_is_committed_once_and_owed_by_nobody() -> None:
    """The first of two attempts makes the commit, and the other one's end changes nothing."""
    owed = ledger(1)
    first = take(owed)
    second = owed.double(first.state)
    assert owed.out == 1
    assert owed.commit(second)
    assert owed.out == 0
    assert not owed.commit(first)
    assert owed.take() is None
    assert owed.out == 0


def test_a_doubled_shard_is_owed_again_when_both_are_lost() -> None:
    """One attempt that comes to nothing leaves the shard to the other."""
    owed = ledger(1)
    first = take(owed)
    second = owed.double(first.state)
    owed.give_back(first)
    assert owed.take() is None
    owed.charge(second, (), KILLED)
    again = take(owed)
    assert (again.shard.index, again.caution) == (0, Caution())


def run_until_whole(images: int, batch_size: int, poison: set[int]) -> tuple[Caution | None, int]:
    """A shard looked at by replicas that die at `poison`; its last caution, and their starts."""
    owed, starts = ledger(1, images), 0
    while True:
        starts += 1
        attempt = take(owed)
        for batch in batches(images, batch_size, attempt.caution):
            if poison & set(batch):
                owed.charge(attempt, batch if attempt.caution else (), KILLED)
                break
        else:
            return attempt.caution, starts


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 32])
def test_one_image_that_kills_costs_log2_of_a_batch_and_three_starts(batch_size: int) -> None:
    """Wherever in a shard it lies: that image is condemned, and no other one."""
    for place in range(40):
        caution, starts = run_until_whole(40, batch_size, {place})
        assert caution and dict(caution.condemned) == {place: KILLED}
        assert starts <= math.ceil(math.log2(batch_size)) + 3


def test_several_images_that_kill_are_all_found() -> None:
    """In one batch or in several: each is condemned, and each image is looked at in the end."""
    poison = {0, 1, 7, 8, 30, 31}
    caution, starts = run_until_whole(40, 8, poison)
    assert caution and dict(caution.condemned).keys() == poison
    assert starts <= len(poison) * 4 + 3


def test_a_shard_that_crashes_without_an_image_to_blame_stops_the_run() -> None:
    """Crashes that move about condemn nothing; the sentence names the shard and the images."""
    owed = ledger(1, images=8)
    halves = ((0, 1, 2, 3), (4, 5, 6, 7))
    with pytest.raises(ReplicaError, match=r"shard 0 ended 16 replicas .*/in/0004\.png … /in/0007"):
        for crash in range(MAX_CRASHES):
            owed.charge(take(owed), halves[crash % 2], KILLED)


def test_batches_hold_each_image_once() -> None:
    """Whatever is suspected and condemned, each other image is looked at, suspects first."""
    for caution in (None, Caution(), Caution((4, 5, 6)), Caution((5,), ((4, KILLED),))):
        condemned = {place for place, _ in caution.condemned} if caution else set()
        groups = list(batches(11, 4, caution))
        assert sorted(place for group in groups for place in group) == [
            place for place in range(11) if place not in condemned
        ]
        assert max(map(len, groups)) <= 4
    assert list(batches(11, 4, Caution((4, 5, 6)))) == [
        *((4, 5), (6,)),
        *((0, 1, 2, 3), (7,), (8, 9, 10)),
    ]
