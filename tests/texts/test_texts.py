"""Where an image's text comes from."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from schemas.image import ImageRef, InputFormat
from schemas.outcome import (
    ChangedSincePlanError,
    NotFoundError,
    TooManyBytesError,
    UsageError,
)
from tests.runs import job_spec, put
from workers.source import Reader
from workers.source.webdataset import LONGEST_SIDECAR
from workers.store import entry_at, remove
from workers.tasks import Item
from workers.texts import resolve_text, spelt, text_finder

PICTURE = Image.new("RGB", (8, 8))


def found(text: str, ref: ImageRef) -> Item:
    """The text of `ref` in a job that looks for it at `text`."""
    job = job_spec(text=text)
    return text_finder(job, Reader(job)).find(ref, PICTURE)


def test_a_column_is_read_as_text() -> None:
    """What INPUT says under the name, numbers as they are written; nothing is no text."""
    for columns, item in (
        ('{"text": "what a day"}', Item("what a day", "column:text")),
        ('{"text": 7}', Item("7", "column:text")),
        ('{"text": null}', Item()),
        ('{"other": "x"}', Item()),
        ("", Item()),
    ):
        assert found("column:text", ImageRef("a", "a", "", 1, columns=columns)) == item


def test_a_sidecar_is_the_file_beside_the_image(store: str) -> None:
    """`a.txt` of `a.jpg`, on a disk and on S3; an image without one has no text, and bytes that are
    no text are read as well as they can be.
    """
    put(store, "in/a.b.txt", "\ufeffwhat a day".encode())
    put(store, "in/bad.txt", b"a \xff day")
    put(store, "in/wide.txt", "what a day".encode("utf-16"))
    put(store, "in/alone.jpg", b"")
    assert found("sidecar", _ref(f"{store}/in/a.b.jpg")) == Item("what a day", "sidecar")
    assert found("sidecar", _ref(f"{store}/in/bad.png")) == Item("a \ufffd day", "sidecar")
    assert found("sidecar", _ref(f"{store}/in/wide.jpg")) == Item("what a day", "sidecar")
    assert found("sidecar", _ref(f"{store}/in/alone.jpg")) == Item()


def test_a_sidecar_that_is_no_text_of_an_image_fails_it(tmp_path: Path) -> None:
    """A book beside a picture: the row says so, and the model does not wait for its words."""
    (tmp_path / "a.txt").write_bytes(b"a" * LONGEST_SIDECAR)
    (tmp_path / "b.txt").write_bytes(b"b" * (LONGEST_SIDECAR + 1))
    assert found("sidecar", _ref(f"{tmp_path}/a.png")).text_source == "sidecar"
    with pytest.raises(TooManyBytesError, match="1,048,577 bytes"):
        found("sidecar", _ref(f"{tmp_path}/b.png"))


def test_a_sidecar_is_read_as_it_was_planned(store: str) -> None:
    """Another version is none of the plan's, nor is one that came or went since."""
    put(store, "a.txt", b"a day")
    image = _ref(f"{store}/a.png")
    entry = entry_at(f"{store}/a.txt")
    assert entry
    planned = replace(image, sidecar=entry.version)
    assert found("sidecar", planned) == Item("a day", "sidecar")
    assert found("sidecar", replace(image, sidecar="")) == Item()
    put(store, "a.txt", b"another day")
    with pytest.raises(ChangedSincePlanError, match=r"a\.txt changed"):
        found("sidecar", planned)
    remove(f"{store}/a.txt")
    with pytest.raises(NotFoundError, match=r"a\.txt is gone"):
        found("sidecar", planned)


def test_an_image_within_a_container_has_no_sidecar(tmp_path: Path) -> None:
    """Beside a tar or a Parquet file lies nothing that is one image's."""
    (tmp_path / "a.txt").write_text("not its own")
    place = str(tmp_path / "a.tar")
    assert found("sidecar", ImageRef(f"{place}#x", place, "", 1, offset=512)) == Item()
    assert found("sidecar", ImageRef(f"{place}#1", place, "", 1, row=1)) == Item()


@pytest.mark.parametrize(
    ("asked", "kind", "meant"),
    [
        (None, InputFormat.IMAGES, "sidecar"),
        (None, InputFormat.WEBDATASET, "column:txt"),
        (None, InputFormat.JSONL, "column:text"),
        ("column:words", InputFormat.CSV, "column:words"),
        ("none", InputFormat.CSV, "none"),
    ],
)
def test_a_text_is_where_such_an_input_has_it(
    asked: str | None, kind: InputFormat, meant: str
) -> None:
    """What nobody says follows from the kind of INPUT, and is kept by the job."""
    assert resolve_text(asked, kind) == meant


@pytest.mark.parametrize("asked", ["", "column:", "columns", "text"])
def test_a_place_that_is_none_is_refused(asked: str) -> None:
    """Another word is bad usage, and the sentence lists the places."""
    with pytest.raises(UsageError, match="column:NAME, sidecar, ocr, none"):
        resolve_text(asked, InputFormat.IMAGES)


def test_a_tar_has_no_sidecars() -> None:
    """Every meme would be rated without its text: the sentence says where the texts are."""
    with pytest.raises(UsageError, match="column:txt"):
        resolve_text("sidecar", InputFormat.WEBDATASET)


def test_what_reads_pictures_is_kept_with_its_version() -> None:
    """Another version of the reader may read other texts: a job holds which it is, and goes on with
    no other.
    """
    text = resolve_text("ocr", InputFormat.IMAGES)
    assert text == f"ocr:{version('rapidocr')}"
    assert spelt(text) == "ocr"
    assert resolve_text(text, InputFormat.IMAGES) == text
    with pytest.raises(UsageError, match=r"read with ocr:0\.1 there and would be with ocr:3"):
        resolve_text("ocr:0.1", InputFormat.IMAGES)
    assert [spelt(one) for one in ("sidecar", "column:ocr", "none")] == [
        "sidecar",
        "column:ocr",
        "none",
    ]


def _ref(uri: str) -> ImageRef:
    return ImageRef(uri, uri, "", 1)
