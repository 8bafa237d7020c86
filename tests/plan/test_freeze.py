"""The plan is made once."""

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from schemas.image import InputFormat
from schemas.job import JobSpec
from schemas.outcome import DamagedPlanError, StoreError, UsageError
from schemas.passed import passed_values
from schemas.run import Plan
from tests.fake_store import FakeStore, fake_store
from tests.runs import SCHEMAS, job_spec, png, put
from tests.source.listings import tar_of
from workers.plan import Run, freeze, load_shards, open_run, read_plan
from workers.plan import pages as plan_pages
from workers.store import Entry, Patience


def claimed(store: str, images: int = 10) -> Run:
    """A run on a fresh INPUT of `images` pictures and two other files."""
    for number in range(images):
        put(store, f"in/{number % 3}/{number:02d} #é.png", png())
    put(store, "in/notes.txt", b"x")
    put(store, "in/.hidden.png", b"x")
    return open_run(job_spec(f"{store}/in", f"{store}/out"))


def test_the_plan_is_the_listing_sorted_and_cut(store: str) -> None:
    """Every image once, in the order of the ids, with its version; the others counted by rule."""
    run = claimed(store)
    plan = freeze(run, 4, lambda: ("cpu", 8))
    shards = list(load_shards(run, plan))
    ids = [image.item_id for shard in shards for image in shard.images]
    assert ids == sorted(ids)
    assert len(set(ids)) == plan.items == 10
    assert [len(shard) for shard in shards] == [4, 4, 2]
    assert all(image.input_digest for shard in shards for image in shard.images)
    assert plan.skipped == {"extension": 1, "hidden": 1}
    assert (plan.shards, plan.shard_images) == (3, 4)
    assert [plan.images_of(shard.index) for shard in shards] == [4, 4, 2]


def test_a_plan_is_read_and_not_made_again(store: str) -> None:
    """Later drivers take the frozen plan: a changed INPUT and other flags change nothing."""
    run = claimed(store)
    plan = freeze(run, 4, lambda: ("cpu", 8))
    put(store, "in/new.png", png())
    assert freeze(run, 1, lambda: ("cuda", 32)) == plan == read_plan(run)
    assert (plan.device, plan.batch_size) == ("cpu", 8)
    filesystem, path = fsspec.url_to_fs(f"{store}/in")
    filesystem.rm(path, recursive=True)
    assert freeze(run, None, lambda: ("cpu", 8)) == plan


def test_drivers_that_plan_together_take_one_plan(store: str) -> None:
    """Two drivers list while the bucket grows: both go on with the same whole plan."""
    run = claimed(store)
    barrier = threading.Barrier(3)

    def plan() -> Plan:
        barrier.wait()
        return freeze(run, 2, lambda: ("cpu", 8))

    def grow() -> None:
        barrier.wait()
        for number in range(20):
            put(store, f"in/9/{number}.png", png())

    with ThreadPoolExecutor(3) as pool:
        growth = pool.submit(grow)
        plans = [future.result() for future in [pool.submit(plan), pool.submit(plan)]]
        growth.result()
    assert plans[0] == plans[1] == read_plan(run)
    shards = list(load_shards(run, plans[0]))
    assert sum(map(len, shards)) == plans[0].items >= 10
    assert len({image.item_id for shard in shards for image in shard.images}) == plans[0].items


def test_an_input_that_emptied_is_bad_usage(folder: str) -> None:
    """Images that went between claim and plan leave a claim without a plan, and a sentence."""
    run = claimed(folder)
    filesystem, path = fsspec.url_to_fs(f"{folder}/in")
    filesystem.rm(path, recursive=True)
    put(folder, "in/notes.txt", b"x")
    with pytest.raises(UsageError, match="holds no image"):
        freeze(run, None, lambda: ("cpu", 8))
    assert read_plan(run) is None


def test_skipped_shards_are_not_given(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owed is the plan less what is committed; a page that owes nothing is not even read."""
    monkeypatch.setattr(plan_pages, "PAGE_IMAGES", 4)
    run = claimed(store)
    plan = freeze(run, 2, lambda: ("cpu", 8))
    assert [page.shards for page in plan.pages] == [2, 2, 1]
    assert [shard.index for shard in load_shards(run, plan, skip={0, 3})] == [1, 2, 4]
    filesystem, path = fsspec.url_to_fs(f"{store}/out/{plan.pages[0].name}")
    filesystem.rm_file(path)
    assert [shard.index for shard in load_shards(run, plan, skip={0, 1})] == [2, 3, 4]
    with pytest.raises(DamagedPlanError, match="missing"):
        list(load_shards(run, plan, skip={0}))


def test_output_inside_input_is_never_labelled(tmp_path: Path) -> None:
    """An OUTPUT below INPUT is skipped by rule, in a second run too."""
    put(str(tmp_path), "a.png", png())
    job = job_spec(str(tmp_path), str(tmp_path / "out"))
    put(str(tmp_path / "out"), "thumbnail.png", png())
    first = freeze(open_run(job), None, lambda: ("cpu", 8))
    second = freeze(open_run(job, new_run=True), None, lambda: ("cpu", 8))
    assert first.items == second.items == 1
    assert second.skipped["under_output"] > first.skipped["under_output"] >= 2


class Stammering(FakeStore):
    """A store that lists its first objects once more, as other versions, while they change."""

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        pages = list(super().pages(place, patience))
        yield from pages
        yield [replace(entry, version="newer") for entry in pages[0][:3]]


def test_a_key_that_is_listed_twice_is_one_item(folder: str) -> None:
    """A racing listing's repeats are counted by a rule of their own; the last version is planned,
    and the shards are those of the items alone.
    """
    with fake_store(Stammering()) as store:
        for number in range(8):
            store.create("sim://in", f"{number}.png", b"x", None)
        run = open_run(job_spec("sim://in", f"{folder}/out"))
        plan = freeze(run, None, lambda: ("cpu", 8))
    images = [image for shard in load_shards(run, plan) for image in shard.images]
    assert [image.item_id for image in images] == [f"sim://in/{n}.png" for n in range(8)]
    assert [image.input_digest == "newer" for image in images] == [True] * 3 + [False] * 5
    assert plan.skipped == {"listed_again": 3}
    assert (plan.items, plan.shards, plan.shard_images) == (8, 8, 1)


def test_a_full_disk_leaves_a_claim_without_a_plan(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the listing finds no room nothing but the claim is in OUTPUT; with room it goes on."""
    run = claimed(folder)
    before = sorted(Path(folder, "out").rglob("*"))
    with monkeypatch.context() as patch, pytest.raises(StoreError, match="TMPDIR"):
        patch.setattr(tempfile, "tempdir", f"{folder}/nowhere")
        freeze(run, None, lambda: ("cpu", 8))
    assert sorted(Path(folder, "out").rglob("*")) == before
    assert read_plan(run) is None
    assert freeze(run, None, lambda: ("cpu", 8)).items == 10


def manifest(folder: str, *lines: str) -> JobSpec:
    """A job on a manifest of these JSON lines, and on pictures 0.png to 3.png beside it."""
    for number in range(4):
        put(folder, f"in/{number}.png", png())
    put(folder, "in/list.jsonl", "\n".join(lines).encode())
    kind = InputFormat.JSONL
    return job_spec(f"{folder}/in/list.jsonl", f"{folder}/out", input_format=kind)


def test_what_a_manifest_says_is_frozen_with_its_types(folder: str) -> None:
    """The plan knows each column of INPUT by name and type, and each item what INPUT says of it."""
    job = manifest(
        folder,
        '{"uri": "0.png", "text": "one", "score": 1, "mixed": 1}',
        '{"uri": "1.png", "score": 0.5, "mixed": "two", "nothing": null}',
        '{"uri": "gone/"}',
    )
    run = open_run(job)
    plan = freeze(run, 2, lambda: ("cpu", 8))
    types = {"mixed": "string", "nothing": "string", "score": "double", "text": "string"}
    passed = {one.name: one.type for one in plan.columns}
    assert types.items() <= passed.items()
    assert list(passed) == sorted(passed)
    images = [image for shard in load_shards(run, plan) for image in shard.images]
    values = [passed_values(image.columns, plan.columns, SCHEMAS) for image in images]
    assert [(one["text"], one["score"], one["mixed"]) for one in values][:2] == [
        ("one", 1.0, "1"),
        (None, 0.5, "two"),
    ]
    assert read_plan(run) == plan


def test_columns_that_rows_cannot_have_are_refused(folder: str) -> None:
    """Two columns of INPUT that rows would call alike are bad usage, before anything is planned."""
    job = manifest(folder, '{"uri": "0.png", "caption": "a", "input_caption": "b"}')
    run = open_run(job)
    with pytest.raises(UsageError, match="input_caption"):
        freeze(run, None, lambda: ("cpu", 8))
    assert read_plan(run) is None


def test_a_text_that_input_does_not_have_is_refused(folder: str) -> None:
    """A job that reads the texts of its images in a column stops where INPUT has no such column,
    before anything is planned, and the sentence names those that there are.
    """
    job = manifest(folder, '{"uri": "0.png", "words": "one"}', '{"uri": "1.png"}')
    run = open_run(replace(job, text="column:text"))
    with pytest.raises(UsageError, match=r"no column 'text'.*, it has words:.*sidecar"):
        freeze(run, None, lambda: ("cpu", 8))
    assert read_plan(run) is None
    put(folder, "in/a.tar", tar_of({"0.png": png()}))
    in_tar = job_spec(f"{folder}/in/a.tar", f"{folder}/of-tar", text="column:txt")
    with pytest.raises(UsageError, match=r"with --text column:NAME, ocr or none$"):
        freeze(
            open_run(replace(in_tar, input_format=InputFormat.WEBDATASET)), None, lambda: ("cpu", 8)
        )
    there = open_run(replace(job, text="column:words"), new_run=True)
    assert freeze(there, None, lambda: ("cpu", 8)).items == 2
