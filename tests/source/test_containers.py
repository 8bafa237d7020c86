"""Containers as such: their kind, several side by side, and a store that fails meanwhile."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from schemas.image import InputFormat
from schemas.outcome import StoreError, UsageError
from tests.clock import patience
from tests.runs import job_spec, png, put
from tests.source.listings import listed, tar_of
from workers.source import check_input, containers, fetching, format_of, list_images

TAR = InputFormat.WEBDATASET


@pytest.mark.parametrize(
    ("input", "kind"),
    [
        ("/data/photos", InputFormat.IMAGES),
        ("/data/photos/**/*.jpg", InputFormat.IMAGES),
        ("/data/a.png.gz", InputFormat.IMAGES),
        ("/data/a.tar", TAR),
        ("s3://b/{train}/*.TAR", TAR),
        ("s3://b/a.parquet", InputFormat.PARQUET),
        ("s3://b/**/*.parquet", InputFormat.PARQUET),
        ("a.csv", InputFormat.CSV),
        ("a.csv.gz", InputFormat.CSV),
        ("a.jsonl", InputFormat.JSONL),
        ("a.ndjson.gz", InputFormat.JSONL),
    ],
)
def test_the_kind_is_seen_from_the_path(input: str, kind: InputFormat) -> None:
    """By how it ends; a folder is images; and what is said goes before what is seen."""
    assert format_of(input, None) is kind
    assert format_of(input, InputFormat.PARQUET) is InputFormat.PARQUET


@pytest.mark.parametrize("name", ["a.tar.gz", "b/*.tgz", "s3://b/a.TAR.ZST"])
def test_a_compressed_tar_is_refused(name: str) -> None:
    """Its members cannot be read one by one: the sentence says what to do instead."""
    with pytest.raises(UsageError, match=r"compressed tar.*plain \.tar"):
        format_of(name, None)


def test_other_files_of_the_folder_are_counted(store: str) -> None:
    """A folder said to be tars is its tars; images beside them are left out, by rule."""
    put(store, "in/a.tar", tar_of({"a.png": png()}))
    put(store, "in/sub/b.tar", tar_of({"a.png": png()}))
    put(store, "in/.c.tar", tar_of({"a.png": png()}))
    put(store, "in/out/d.tar", tar_of({"a.png": png()}))
    put(store, "in/a.png", png())
    images, skipped = listed(f"{store}/in", TAR, output=f"{store}/in/out")
    assert [image.uri for image in images] == [f"{store}/in/a.tar", f"{store}/in/sub/b.tar"]
    assert skipped == {"container": 2, "extension": 1, "hidden": 1, "under_output": 1}


def test_a_file_is_of_the_kind_that_is_said(store: str) -> None:
    """A file without a telling name, alone or by a glob, is what --input-format says."""
    put(store, "in/shard-0", tar_of({"a.png": png()}))
    for place in (f"{store}/in/shard-0", f"{store}/in/shard-*"):
        images, _ = listed(place, TAR)
        assert [image.item_id for image in images] == [f"{store}/in/shard-0#a.png"]


def test_containers_without_an_image_are_said_in_a_sentence(tmp_path: Path) -> None:
    """INPUT holds nothing to label, though it holds containers."""
    put(str(tmp_path), "in/a.tar", tar_of({"a.cls": b"1"}))
    with pytest.raises(UsageError, match=r"holds no image.*'container'.*'extension'"):
        check_input(job_spec(f"{tmp_path}/in", input_format=TAR), patience())


def test_a_look_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To see that there is an image one block of each of the first tars is read."""
    monkeypatch.setattr(containers, "BLOCK", 1024)
    asked = []
    real = containers.bytes_of

    def count(*arguments: Any) -> bytes:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(containers, "bytes_of", count)
    for number in range(30):
        put(str(tmp_path), f"{number}.tar", tar_of({f"{n}.png": png() for n in range(100)}))
    check_input(job_spec(str(tmp_path), input_format=TAR), patience())
    assert len(asked) <= 4 * containers.SIDE_BY_SIDE


def test_pages_come_in_one_order() -> None:
    """Whichever container is read fastest, one page of each comes in turn."""
    reached = threading.Barrier(containers.SIDE_BY_SIDE, timeout=20)

    def pages(thing: int) -> Iterator[tuple[int, int]]:
        if thing < containers.SIDE_BY_SIDE:
            reached.wait()  # as many as that are read at a time
        for number in range(thing % 3):
            yield thing, number

    first = [(1, 0), (2, 0), (4, 0), (5, 0), (7, 0), (8, 0)]
    later = [(2, 1), (5, 1), (10, 0), (8, 1), (11, 0), (11, 1)]
    for _ in range(5):
        assert list(containers.side_by_side(pages, range(12))) == first + later


def test_whoever_leaves_waits_for_no_second_page() -> None:
    """A page is asked for once the one before was taken."""
    asked = threading.Event()

    def pages(thing: int) -> Iterator[int]:
        yield thing
        asked.set()

    given = containers.side_by_side(pages, [1])
    assert next(given) == 1
    given.close()  # type: ignore[attr-defined]
    assert not asked.is_set()


def test_what_goes_wrong_in_one_is_raised() -> None:
    """An error that is no container's own ends the listing."""

    def pages(thing: int) -> Iterator[int]:
        if thing == 20:
            raise StoreError("away")
        yield thing

    with pytest.raises(StoreError, match="away"):
        list(containers.side_by_side(pages, range(50)))


def test_a_store_that_goes_away_makes_no_plan(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tar that cannot be read now is no broken one: exit 75, and the plan is made later."""
    put(bucket, "a.tar", tar_of({"a.png": png()}))

    def stall(*arguments: Any) -> bytes:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(fetching, "fetch", stall)
    with pytest.raises(StoreError, match=r"a\.tar cannot be read now"):
        listed(bucket, TAR)


def test_a_container_that_may_not_be_read_is_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission is to be given, or the file left out, before a plan is frozen for ever."""
    put(str(tmp_path), "a.tar", tar_of({"a.png": png()}))

    def refuse(*arguments: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fetching, "fetch", refuse)
    with pytest.raises(UsageError, match=r"a\.tar cannot be read: no permission"):
        listed(str(tmp_path), TAR)


def test_a_container_that_changes_under_the_listing_is_broken(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is listed of a tar is of one version: what came before are items of that one."""
    monkeypatch.setattr(containers, "BLOCK", 4096)
    put(store, "a.tar", tar_of({f"{n:03d}.png": png() for n in range(1100)}))
    pages = list_images(job_spec(f"{store}/a.tar", input_format=TAR), patience())
    images = next(pages).images
    put(store, "a.tar", tar_of({"other.png": png()}))
    s3fs.S3FileSystem.clear_instance_cache()
    for one in pages:
        images += one.images
    assert images[-1].item_id == f"{store}/a.tar#broken"
    assert images[-1].failure is not None
    assert "changed" in images[-1].failure.error_message
    assert {image.input_digest for image in images} == {images[0].input_digest}
    assert len(images) < 1100


def test_a_container_that_is_cut_under_the_listing_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store without versions that gives less than it listed has not given the tar's end."""
    monkeypatch.setattr(containers, "BLOCK", 4096)
    real = fetching.fetch

    def cut(uri: str, version: str, seconds: float, span: Any, limit: Any) -> bytes:
        return real(uri, "", seconds, span, limit) if span[0] < 8192 else b""

    monkeypatch.setattr(fetching, "fetch", cut)
    put(str(tmp_path), "a.tar", tar_of({f"{n:03d}.png": png() for n in range(20)}))
    images, _ = listed(str(tmp_path / "a.tar"), TAR)
    assert images[-1].item_id == f"{tmp_path}/a.tar#broken"
    assert images[-1].failure is not None
    assert "shorter" in images[-1].failure.error_message
    assert 1 < len(images) < 20
