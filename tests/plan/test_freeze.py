"""The plan is made once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from schemas.image import Shard
from schemas.outcome import DamagedPlanError, UsageError
from schemas.run import Plan
from tests.runs import job_spec, png, put, refs
from workers.plan import Run, freeze, load_shards, open_run, read_plan
from workers.plan import pages as plan_pages
from workers.plan.cut import cut
from workers.plan.pages import decode_page, encode_page, group_pages


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
    plan = freeze(run, 4, "cpu", 8)
    shards = list(load_shards(run, plan))
    ids = [image.item_id for shard in shards for image in shard.images]
    assert ids == sorted(ids)
    assert len(set(ids)) == plan.items == 10
    assert [len(shard) for shard in shards] == [4, 4, 2]
    assert all(image.input_digest for shard in shards for image in shard.images)
    assert plan.skipped == {"extension": 1, "hidden": 1}
    assert (plan.shards, plan.shard_images) == (3, 4)


def test_a_plan_is_read_and_not_made_again(store: str) -> None:
    """Later drivers take the frozen plan: a changed INPUT and other flags change nothing."""
    run = claimed(store)
    plan = freeze(run, 4, "cpu", 8)
    put(store, "in/new.png", png())
    assert freeze(run, 1, "cuda", 32) == plan == read_plan(run)
    assert (plan.device, plan.batch_size) == ("cpu", 8)
    filesystem, path = fsspec.url_to_fs(f"{store}/in")
    filesystem.rm(path, recursive=True)
    assert freeze(run, None, "cpu", 8) == plan


def test_drivers_that_plan_together_take_one_plan(store: str) -> None:
    """Two drivers list while the bucket grows: both go on with the same whole plan."""
    run = claimed(store)
    barrier = threading.Barrier(3)

    def plan() -> Plan:
        barrier.wait()
        return freeze(run, 2, "cpu", 8)

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
        freeze(run, None, "cpu", 8)
    assert read_plan(run) is None


def test_skipped_shards_are_not_given(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owed is the plan less what is committed; a page that owes nothing is not even read."""
    monkeypatch.setattr(plan_pages, "PAGE_IMAGES", 4)
    run = claimed(store)
    plan = freeze(run, 2, "cpu", 8)
    assert [page.shards for page in plan.pages] == [2, 2, 1]
    assert [shard.index for shard in load_shards(run, plan, skip={0, 3})] == [1, 2, 4]
    filesystem, path = fsspec.url_to_fs(f"{store}/out/{plan.pages[0].name}")
    filesystem.rm_file(path)
    assert [shard.index for shard in load_shards(run, plan, skip={0, 1})] == [2, 3, 4]
    with pytest.raises(DamagedPlanError, match="missing"):
        list(load_shards(run, plan, skip={0}))


@pytest.mark.parametrize("damage", [b"", b"PAR1 altered", b"one byte more"])
def test_an_altered_page_is_refused(folder: str, damage: bytes) -> None:
    """A page whose bytes are not those of the plan's digest gives no shard."""
    run = claimed(folder)
    plan = freeze(run, 4, "cpu", 8)
    put(f"{folder}/out", plan.pages[0].name, damage)
    with pytest.raises(DamagedPlanError, match="altered"):
        list(load_shards(run, plan))


def test_pages_give_back_what_they_were_given() -> None:
    """Shards survive a page: weird ids, unknown sizes and unknown versions included."""
    images = refs(5, "s3://bucket/dé #%\n🍎")
    shards = list(cut(images, 2, 2))
    page, data = encode_page("page", shards)
    assert list(decode_page(data)) == shards
    assert (page.first_shard, page.shards, page.items) == (0, 3, 5)
    unknown = Shard(3, (type(images[0])("a", "a", "", None),))
    assert list(decode_page(encode_page("page", [unknown])[1])) == [unknown]


def test_pages_hold_whole_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every shard lies in one page, and pages keep the order."""
    monkeypatch.setattr(plan_pages, "PAGE_IMAGES", 10)
    shards = list(cut(refs(47), 1, 4))
    grouped = list(group_pages(shards))
    assert [shard for page in grouped for shard in page] == shards
    assert all(sum(map(len, page)) < 14 for page in grouped)
    assert len(grouped) > 3


def test_output_inside_input_is_never_labelled(tmp_path: Path) -> None:
    """An OUTPUT below INPUT is skipped by rule, in a second run too."""
    put(str(tmp_path), "a.png", png())
    job = job_spec(str(tmp_path), str(tmp_path / "out"))
    put(str(tmp_path / "out"), "thumbnail.png", png())
    first = freeze(open_run(job), None, "cpu", 8)
    second = freeze(open_run(job, new_run=True), None, "cpu", 8)
    assert first.items == second.items == 1
    assert second.skipped["under_output"] > first.skipped["under_output"] >= 2
