"""What was said beforehand, and what it came to: intervals, and any number of replicas."""

import heapq
import json
import random
from dataclasses import replace

import pytest

from schemas.estimate import Estimate, Outcome, wilson
from schemas.outcome import UsageError

ESTIMATE = Estimate(
    fingerprint="0" * 16,
    made_at="2024-01-01T00:00:00+00:00",
    run_id="",
    images=100,
    images_done=0,
    input_bytes=None,
    output_bytes=5000,
    device="cpu",
    batch_size=32,
    replicas=2,
    sampled=48,
    failed_by_code={"truncated": 1},
    rehearsed_by=2,
    seconds_per_image=0.5,
    seconds_per_shard=1.0,
    spread=0.1,
    preparing_seconds=3.0,
    loading_seconds=36.0,
    shards=((2, 4), (13, 7), (1, 1)),
    ordinal=1,
)
OUTCOME = Outcome(
    images=100,
    images_before=0,
    replicas=2,
    starting_seconds=40.0,
    seconds=32.0,
    replica_seconds=64.0,
    input_bytes=0,
    output_bytes=5100,
)


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(10, 100, 0.0552, 0.1744), (0, 48, 0, 0.0741), (48, 48, 0.9259, 1), (1, 1, 0.2065, 1)],
)
def test_the_interval_is_wilsons(hits: int, tries: int, low: float, high: float) -> None:
    """As published tables of the interval without correction have it; a share of none is 0."""
    found = wilson(hits, tries)
    assert (found.low, found.likely, found.high) == pytest.approx(
        (low, hits / tries, high), abs=1e-4
    )


def test_what_was_seen_is_never_outside_its_interval() -> None:
    """Rounding does not make a sample without failures exclude that there are none."""
    for tries in range(1, 500):
        assert wilson(0, tries).holds(0.0)
        assert wilson(tries, tries).holds(1.0)


def test_time_is_that_of_replicas_that_take_shard_after_shard() -> None:
    """For any shards and replicas it is what the handing out, played shard by shard, comes to."""
    dice = random.Random(5)
    for _ in range(300):
        small, full = dice.randint(1, 9), dice.randint(9, 30)
        shards = (
            (small, dice.randint(1, 4)),
            (full, dice.randint(1, 200)),
            (dice.randint(1, 9), 1),
        )
        replicas = dice.randint(1, 40)
        images = sum(size * count for size, count in shards)
        said = replace(ESTIMATE, images=images, shards=shards).seconds(replicas)
        free_at = [0.0] * replicas
        for size, count in shards:
            for _ in range(count):
                heapq.heapreplace(free_at, free_at[0] + 1.0 + 0.5 * size)
        assert said.likely == pytest.approx(max(free_at))
        assert (said.low, said.high) == pytest.approx((0.9 * max(free_at), 1.1 * max(free_at)))


def test_a_replica_costs_from_when_it_is_asked_for() -> None:
    """Loading is paid for by each of them, listing by none."""
    seconds = ESTIMATE.seconds(3)
    price = ESTIMATE.price(3, per_hour=2.0)
    assert price.likely == pytest.approx(3 * 2.0 * (36.0 + seconds.likely) / 3600)
    assert price.low < price.likely < price.high


def test_an_outcome_has_its_rates() -> None:
    """Images a second, of all and of one replica; nothing done has none."""
    assert (OUTCOME.images_per_second, OUTCOME.images_per_replica_second) == (3.125, 1.5625)
    nothing = replace(OUTCOME, images=0, seconds=0.0, replica_seconds=0.0)
    assert (nothing.images_per_second, nothing.images_per_replica_second) == (0, 0)


@pytest.mark.parametrize(
    "damage",
    [
        {"shards": 7},
        {"shards": [[2, 4]]},
        {"sampled": 0},
        {"failed_by_code": {"truncated": 49}},
        {"seconds_per_image": "fast"},
        {"spread": None},
        {"a new field": 1},
    ],
)
def test_a_damaged_estimate_is_called_one(damage: dict[str, object]) -> None:
    """Whatever a hand made of it, it is one sentence, and not an error while a run ends."""
    value = json.loads(ESTIMATE.to_json()) | damage
    with pytest.raises(UsageError, match=r"x\.json is not what this program writes"):
        Estimate.from_json(json.dumps(value).encode(), "x.json")
