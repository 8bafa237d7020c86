"""A listing sorted outside memory."""

import os
import random
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.image import ImageRef
from schemas.outcome import StoreError
from schemas.rows import PassedColumn
from tests.runs import job_spec, refs
from workers.plan import database
from workers.plan import listing as module
from workers.plan.listing import Listing, Tally, open_listing
from workers.plan.pages import images_of
from workers.source.kinds import sidecar_of
from workers.store import Entry


def ids_in_order(listing: Listing) -> list[str]:
    """All that the listing gives back."""
    return [name for table in listing.in_order() for name in table["item_id"].to_pylist()]


@pytest.mark.parametrize("at_once", [100, 1000, 1_000_000])
def test_the_order_is_that_of_python(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Ids come back sorted by their UTF-8, however they were listed, however long they are, and
    however few are sorted at a time.
    """
    monkeypatch.setattr(module, "RANGE_ITEMS", at_once)
    monkeypatch.setattr(database, "SAMPLE", 10)
    monkeypatch.setattr(module, "BLOCK_IMAGES", 64)
    monkeypatch.setattr(database, "BATCH_ROWS", 128)
    draw = random.Random(3)
    signs = "aAzZ09 #%/.~_-\x00\x01\x7féßİ\u0301\uffff🍎漢"
    ids = {"".join(draw.choices(signs, k=draw.randrange(1, 40))) for _ in range(3000)}
    ids |= {"same beginning of many bytes/" + name for name in list(ids)[:500]}
    shuffled = draw.sample(sorted(ids), len(ids))
    with open_listing() as listing:
        for first in range(0, len(shuffled), 100):
            names = shuffled[first : first + 100]
            listing.add([ImageRef(name, name, "", None) for name in names])
        assert listing.tally() == Tally(len(ids), len(ids), len(ids))
        assert ids_in_order(listing) == sorted(ids)


def test_what_is_sorted_at_a_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long listing is cut into ranges of about as many ids as are asked for, and none is lost."""
    monkeypatch.setattr(module, "RANGE_ITEMS", 500)
    images = refs(5000)
    random.Random(1).shuffle(images)
    with open_listing() as listing:
        listing.add(images)
        assert listing.tally() == Tally(5000, 5000, 5000)
        sizes = [listing._count(some, chosen=False) for some in listing.ranges(500)]
    assert sum(sizes) == 5000
    assert len(sizes) == 10
    assert max(sizes) < 1000


def test_the_order_of_a_listing_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """However a store lists them, the items are the same, in the same order."""
    monkeypatch.setattr(module, "BLOCK_IMAGES", 7)
    found = []
    for seed in range(3):
        images = refs(50)
        random.Random(seed).shuffle(images)
        with open_listing() as listing:
            listing.add(images)
            found.append(pa.concat_tables(listing.in_order()).to_pylist())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("batch", [1, 2, 2048])
def test_an_item_listed_again_is_one_item(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Of a key that a listing names more than once the last word counts, wherever batches and
    ranges end.
    """
    monkeypatch.setattr(module, "RANGE_ITEMS", 3)
    monkeypatch.setattr(database, "BATCH_ROWS", batch)
    monkeypatch.setattr(module, "BLOCK_IMAGES", 5)
    with open_listing() as listing:
        for version in ("old", "older", "new"):
            listing.add([ImageRef(one.item_id, one.uri, version, 3) for one in refs(4)])
        listing.add(refs(6)[4:])
        assert listing.tally() == Tally(listed=14, items=6, chosen=6)
        rows = pa.concat_tables(listing.in_order()).to_pylist()
    assert [row["item_id"] for row in rows] == [image.item_id for image in refs(6)]
    assert [row["input_digest"] for row in rows] == ["new"] * 4 + ["mtime:3-1"] * 2


@pytest.mark.parametrize("at_once", [5, 40, 10_000])
def test_each_item_has_the_text_beside_it(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """The version is that of the file whose name a reader makes of the image's, "" where there is
    none, wherever ranges end; and all that is looked at has the version that the job says.
    """
    monkeypatch.setattr(module, "RANGE_ITEMS", at_once)
    monkeypatch.setattr(database, "SAMPLE", 10)
    monkeypatch.setattr(module, "BLOCK_IMAGES", 16)
    draw = random.Random(at_once)
    names = {"/" + "".join(draw.choices("ab.é/ -", k=draw.randrange(1, 7))) for _ in range(800)}
    texts = {f"{name}.txt": draw.choice(["etag:1", "etag:2", ""]) for name in sorted(names)[::3]}
    job = job_spec(text="sidecar")
    with open_listing(job) as listing:
        for name in draw.sample(sorted(names), len(names)):
            listing.add([ImageRef(name, name, "etag:0", 1)])
        listing.add_sidecars([Entry(name, 1, version) for name, version in texts.items()])
        found = [image for table in listing.in_order() for image in images_of(table)]
        told = {}
        for some in listing.ranges(at_once):
            query = (
                f"SELECT item_id, coalesce(looked_at, input_digest) FROM listed WHERE {some.within}"
            )
            told |= dict(listing.run(query, some.values()))
    assert [image.item_id for image in found] == sorted(names)
    for image in found:
        text = sidecar_of(image.uri)
        assert image.sidecar == ((texts[text] or None) if text in texts else "")
    assert told == {image.item_id: job.input_digest(image) for image in found}
    assert {image.sidecar for image in found} == {"etag:1", "etag:2", "", None}


@pytest.mark.parametrize("at_once", [5, 100])
def test_only_what_is_chosen_comes_back(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Of the chosen ids those that are listed come back, in order, and all are counted."""
    monkeypatch.setattr(module, "RANGE_ITEMS", at_once)
    chosen = [image.item_id for image in refs(10)[::3]]
    with open_listing() as listing:
        assert listing.choose([pa.array(chosen[:2]), pa.array([*chosen[2:], "/gone"])]) == 5
        listing.add(refs(10) * 2)
        assert listing.tally() == Tally(listed=20, items=10, chosen=4)
        assert ids_in_order(listing) == chosen


def test_columns_are_those_of_all_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """The types are found over everything that was put in, whatever block it was in."""
    monkeypatch.setattr(module, "BLOCK_IMAGES", 1)
    with open_listing() as listing:
        for said in ('{"b":1}', "", '{"b":2.5,"a":"x"}'):
            listing.add([ImageRef(said, said, "", None, columns=said)])
        assert listing.columns() == (PassedColumn("a", "string"), PassedColumn("b", "double"))


def test_the_folder_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in TMPDIR, neither when all went well nor when it did not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_listing() as listing:
        listing.add(refs(10))
        assert ids_in_order(listing)
        assert list(tmp_path.iterdir())
    with pytest.raises(KeyError), open_listing() as listing:
        listing.add(refs(10))
        next(listing.in_order())
        raise KeyError
    assert not list(tmp_path.iterdir())


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: what a full disk does, by other means."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_a_full_disk_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A temporary folder without room ends the planning with its name, and is tidied."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(database, "MEMORY", "16MB")
    images = refs(1000)
    with pytest.raises(StoreError, match=f"{tmp_path}.*TMPDIR"), small_files(size):  # noqa: SIM117
        with open_listing() as listing:
            for number in range(400):
                names = (
                    f"{number}/{draw}" for draw in random.Random(number).sample(range(10**12), 1000)
                )
                listing.add(
                    [
                        ImageRef(name, image.uri, name, 1)
                        for name, image in zip(names, images, strict=True)
                    ]
                )
            listing.tally()
            for _ in listing.in_order():
                pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TMPDIR that is not there is no traceback."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    with pytest.raises(StoreError, match="TMPDIR"), open_listing():
        pass


def test_a_stop_signal_ends_a_long_sort_at_once() -> None:
    """A signal that comes while the database works interrupts as it would anywhere else."""
    endless = "SELECT sum(range) FROM range(100_000_000_000)"
    with open_listing() as listing, pytest.raises(KeyboardInterrupt):

        def work() -> object:
            os.kill(os.getpid(), signal.SIGINT)
            return listing._database.execute(endless).fetchall()

        listing._ask(work)
