"""What is owed, counted by one look through the listing, and what is drawn of it."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.image import InputFormat
from tests.inspected import IMAGES, label, planned
from tests.runs import job_spec, png, put
from workers.estimate.stock import (
    LEAST_BATCHES,
    LEAST_IMAGES,
    Sampling,
    stock_of_input,
    stock_of_plan,
    thinned,
)
from workers.plan import freeze, load_shards, open_run
from workers.request import Options


@pytest.mark.parametrize(("owed", "images", "stretch"), [(960, 60, 1), (1000, 70, 32), (5, 9, 8)])
def test_what_is_drawn_is_from_all_over(owed: int, images: int, stretch: int) -> None:
    """No more than asked, each once and in order, some of every part of the listing, no rhythm."""
    places = list(Sampling(images, stretch, "seed").places(owed))
    flat = [place for some in places for place in some]
    assert flat == sorted(set(flat))
    assert 0 <= flat[0] <= flat[-1] < owed
    assert len(flat) == min(images // stretch * stretch, owed) or len(flat) == min(stretch, owed)
    for number, some in enumerate(places):
        assert number * owed // len(places) <= some.start
        assert some.stop <= (number + 1) * owed // len(places)
    steps = {two.start - one.start for one, two in pairwise(places)}
    assert len(places) < 3 or len(steps) > 1
    assert places == list(Sampling(images, stretch, "seed").places(owed))


@pytest.mark.parametrize("images", [1, 9, 40])
def test_the_shards_are_those_that_a_plan_would_have(images: int, folder: str) -> None:
    """Number, sizes and order, what is skipped, and the bytes: just what freeze makes of it."""
    for number in range(images):
        put(folder, f"in/{number:03d}.{'JPG' if number % 3 else 'png'}", png() + b"x" * number)
    put(folder, "in/notes.txt", b"no image")
    job = job_spec(f"{folder}/in", f"{folder}/out")
    stock = stock_of_input(job, 1, Options(), "cpu", 8, replicas=1)
    assert not Path(folder, "out").exists()
    run = open_run(job)
    plan = freeze(run, None, lambda: ("cpu", 8))
    sizes = [size for size, count in stock.shards for _ in range(count)]
    assert sizes == [plan.images_of(shard) for shard in range(plan.shards)]
    assert (stock.images, dict(stock.skipped)) == (plan.items, plan.skipped)
    planned_images = [image for shard in load_shards(run, plan) for image in shard.images]
    assert stock.bytes == sum(image.size_bytes or 0 for image in planned_images)
    assert stock.extensions == Counter(Path(image.uri).suffix.lower() for image in planned_images)
    drawn = [image for stretch in stock.stretches for image in stretch]
    assert set(drawn) <= set(planned_images)
    assert stock.witnesses == tuple(drawn[n * images // 8] for n in range(8)) or images < 8
    assert set(stock.witnesses) == set(drawn) or images > 8
    assert len(drawn) == min(images, max(LEAST_IMAGES, LEAST_BATCHES * 8))


def test_sizes_that_nobody_tells_are_not_made_up(folder: str) -> None:
    """A manifest's images that are gone have none; their kinds are those of their names, and a row
    that names no image has no kind.
    """
    uris = ["gone-1.webp", "gone-2.WEBP", "https://example.invalid/3.webp"]
    put(folder, "list.jsonl", "".join(json.dumps({"uri": uri}) + "\n" for uri in uris).encode())
    job = job_spec(f"{folder}/list.jsonl", f"{folder}/out", input_format=InputFormat.JSONL)
    stock = stock_of_input(job, 1, Options(), "cpu", 8, replicas=1)
    assert (stock.images, stock.unsized, stock.bytes) == (3, 3, None)
    assert stock.extensions == {".webp": 2}


def test_of_an_unfinished_run_the_rest_is_owed(folder: str) -> None:
    """Its own plan counts, whatever INPUT lists by now; nothing that is done is drawn."""
    run, plan = planned(folder)
    label(run, plan, skip={1, 3})
    put(folder, "in/later.png", png())
    stock = stock_of_plan(run, plan, replicas=1)
    assert (stock.images, stock.images_done, stock.shards) == (3, IMAGES - 3, ((2, 1), (1, 1)))
    drawn = [image for stretch in stock.stretches for image in stretch]
    owed = [image for shard in load_shards(run, plan, skip={0, 2}) for image in shard.images]
    assert drawn == owed
    little = stock_of_plan(run, plan, replicas=1, most=2)  # a shard of two, and none of the other
    assert (little.images, little.images_done, little.images_left) == (2, IMAGES - 3, 1)
    assert [image for stretch in little.stretches for image in stretch] == owed[:2]
    label(run, plan, skip={0, 2})
    assert stock_of_plan(run, plan, replicas=1).images == 0


def test_what_is_thinned_stays_in_stretches() -> None:
    """At least as many images as asked, evenly; all where there are fewer."""
    stretches = [(number, -number) for number in range(1, 11)]
    assert thinned(stretches, 7) == [(1, -1), (3, -3), (6, -6), (8, -8)]  # type: ignore[comparison-overlap,arg-type]
    assert thinned(stretches, 99) == stretches  # type: ignore[comparison-overlap,arg-type]
