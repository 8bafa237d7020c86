"""What is owed, shard by shard."""

from collections.abc import Iterator

import pytest

from schemas.image import Shard
from schemas.outcome import ReplicaError
from tests.runs import refs
from workers.ledger import MAX_CRASHES, Ledger


def ledger(count: int) -> Ledger:
    return Ledger(iter([Shard(index, tuple(refs(4))) for index in range(count)]))


def test_what_comes_back_is_handed_out_first() -> None:
    """A shard that was begun is finished before another one is begun."""
    owed = ledger(3)
    first, second = owed.take(), owed.take()
    assert first and second
    owed.give_back(second)
    owed.give_back(first)
    indexes = [state.shard.index for _ in range(3) if (state := owed.take())]
    assert indexes == [1, 0, 2]
    assert owed.take() is None


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


def test_a_shard_is_careful_once_it_was_charged() -> None:
    """What was given back is nobody's fault; what was charged remembers its suspects."""
    owed = ledger(1)
    state = owed.take()
    assert state and not state.careful
    owed.give_back(state)
    state = owed.take()
    assert state and not state.careful
    owed.charge(state, state.shard.images[2:], "killed")
    state = owed.take()
    assert state and state.careful
    assert (state.crashes, state.suspects) == (1, state.shard.images[2:])


def test_the_last_crash_names_the_batch() -> None:
    """The error says which shard, how often, which images were looked at, and the last reason."""
    owed = ledger(1)
    for _ in range(MAX_CRASHES - 1):
        state = owed.take()
        assert state
        owed.charge(state, (), "killed")
    state = owed.take()
    assert state
    with pytest.raises(
        ReplicaError, match=r"shard 0 .* 3 times .* /in/0000\.png … /in/0001\.png.*: out of memory"
    ):
        owed.charge(state, state.shard.images[:2], "out of memory")
