"""Manifests, CSV and JSON lines → the images that their rows name."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from schemas.image import ImageRef, InputFormat
from schemas.outcome import ErrorCode, NotFoundError, StoreError, UsageError
from tests.clock import patience
from tests.runs import job_spec, png, put
from tests.source.listings import listed, reader
from workers.source import list_images, manifests, page, references
from workers.source.references import row_id
from workers.store import Entry, entry_at

CSV, JSONL = InputFormat.CSV, InputFormat.JSONL


def columns(images: list[ImageRef]) -> list[Any]:
    return [json.loads(image.columns or "{}") for image in images]


def failures(images: list[ImageRef]) -> list[ErrorCode | None]:
    return [image.failure and image.failure.error_code for image in images]


def test_a_row_names_its_image(store: str) -> None:
    """Paths are relative to the manifest, URIs lead anywhere; the version is that of the image."""
    put(store, "in/a.png", png("red"))
    put(store, "in/sub/b.png", png("blue"))
    put(store, "c d#%.png", png("green"))
    lines = ["text,uri", "one,a.png", "two,sub/b.png", f"three,{store}/c d#%.png", "four,none.png"]
    put(store, "in/list.csv", "\n".join(lines).encode())
    images, skipped = listed(f"{store}/in/list.csv", CSV)
    assert [image.item_id for image in images] == [
        row_id(f"{store}/in/list.csv", row) for row in range(4)
    ]
    assert [image.uri for image in images] == [
        f"{store}/in/a.png",
        f"{store}/in/sub/b.png",
        f"{store}/c d#%.png",
        f"{store}/in/none.png",
    ]
    assert columns(images) == [{"text": word} for word in ("one", "two", "three", "four")]
    assert [reader().read(one) for one in images[:3]] == [png("red"), png("blue"), png("green")]
    assert [bool(image.size_bytes) for image in images] == [True, True, True, False]
    assert skipped == {"container": 1}
    with pytest.raises(NotFoundError):
        reader().read(images[3])


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz"])
def test_csv_as_it_is_written(tmp_path: Path, name: str) -> None:
    """A byte order mark, quotes, line ends of either kind and within fields, empty lines, columns
    without a name, long texts: all cells are text.
    """
    long = "x" * 200_000
    text = f'\r\nid,path,"the ""text""",\r\n7,a.png,"one\r\ntwo, three",x\r\n\r\n,b.png,{long},\r\n'
    data = text.encode("utf-8-sig")
    put(str(tmp_path), name, gzip.compress(data) if name.endswith("gz") else data)
    images, _ = listed(str(tmp_path / name), CSV)
    assert [image.uri for image in images] == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
    assert columns(images) == [
        {"id": "7", 'the "text"': "one\r\ntwo, three"},
        {"id": "", 'the "text"': long},
    ]


@pytest.mark.parametrize("name", ["list.jsonl", "list.ndjson.gz"])
def test_json_lines_keep_their_types(tmp_path: Path, name: str) -> None:
    """Texts, numbers and bools are what they are; what is nested is JSON text, NaN is null."""
    lines = [
        '{"file_name": "a.png", "n": 1, "share": 0.5, "good": true, "no": null, "text": "ä"}',
        "",
        '{"file_name": "b.png", "nest": {"b": [1, "ö"], "a": null}, "list": [], "x": NaN}',
        '{"file_name": "c.png", "large": 18446744073709551616, "half": "\\ud83d", "": 1}',
    ]
    data = "\n".join(lines).encode()
    put(str(tmp_path), name, gzip.compress(data) if name.endswith("gz") else data)
    images, _ = listed(str(tmp_path / name), JSONL)
    assert [image.item_id[-9:] for image in images] == ["000000000", "000000001", "000000002"]
    assert columns(images) == [
        {"n": 1, "share": 0.5, "good": True, "no": None, "text": "ä"},
        {"nest": '{"a": null, "b": [1, "ö"]}', "list": "[]", "x": None},
        {"large": "18446744073709551616", "half": "\ufffd\ufffd\ufffd"},
    ]


def test_a_bad_row_costs_itself(store: str) -> None:
    """A line that is no object, or names no image, is an item that has failed; others are whole."""
    put(store, "a.png", png())
    rows: list[Any] = [
        {"image": "a.png", "n": 1},
        {"image": ""},
        {"n": 4},
        {"image": {"path": "a.png"}},
        {"image": "https://example.org/a.png"},
        {"image": "data:image/png;base64,xyz"},
        {"image": "ftp://example.org/a.png"},
        {"image": "a\0.png"},
        {"image": "\udcff.png"},
        [1, 2],
    ]
    lines = [json.dumps(row).encode() for row in rows] + [b"{", b"\xff", b'{"image": "a.png"}']
    put(store, "list.jsonl", b"\n".join(lines))
    images, _ = listed(f"{store}/list.jsonl", JSONL)
    bad = ErrorCode.BAD_REFERENCE
    assert failures(images) == [None, *[bad] * 11, None]
    assert columns(images)[:3] == [{"n": 1}, {}, {"n": 4}]
    for image in images:
        if image.failure is not None:
            assert image.failure.error_message.startswith(image.item_id)
            assert image.uri
    assert reader().read(images[-1]) == png()


def test_rows_of_csv_are_as_long_as_its_header(tmp_path: Path) -> None:
    """A row with more or fewer cells is a failed item: its cells may stand anywhere."""
    put(
        str(tmp_path), "list.csv", b"path,text\na.png,1\nb.png\nc.png,1,2\n\xff.png,1\nd.png,\xff\n"
    )
    images, _ = listed(str(tmp_path / "list.csv"), CSV)
    bad = ErrorCode.BAD_REFERENCE
    assert failures(images) == [None, bad, bad, bad, None]
    assert columns(images)[4] == {"text": "\ufffd\ufffd\ufffd"}


def test_a_manifest_on_a_disk_may_name_any_file_of_it(tmp_path: Path) -> None:
    """By an absolute path, a `file://` URI, or `..`: whoever may read the manifest reads them."""
    put(str(tmp_path), "a.png", png())
    lines = ["path", f"{tmp_path}/a.png", f"file://{tmp_path}/a.png", "../a.png", "./x/../../a.png"]
    put(str(tmp_path), "in/list.csv", "\n".join(lines).encode())
    images, _ = listed(str(tmp_path / "in" / "list.csv"), CSV)
    assert {image.uri for image in images} == {f"{tmp_path}/a.png"}
    assert len(images) == 4
    assert all(image.input_digest for image in images)


def test_a_manifest_in_a_store_names_no_file_of_the_machine(bucket: str, tmp_path: Path) -> None:
    """Whoever writes into a bucket does not choose what is opened on the machines that read it."""
    put(str(tmp_path), "secret.png", png())
    put(bucket, "a.png", png())
    bad = [
        f"{tmp_path}/secret.png",
        f"file://{tmp_path}/secret.png",
        f"local://{tmp_path}/secret.png",
        "../../../secret.png",
        "..",
    ]
    good = ["../a.png", "./../in/../a.png", f"{bucket}/a.png"]
    put(bucket, "in/list.csv", "\n".join(["path", *bad, *good]).encode())
    images, _ = listed(f"{bucket}/in/list.csv", CSV)
    assert failures(images) == [ErrorCode.BAD_REFERENCE] * 5 + [None] * 3
    assert {image.uri for image in images[5:]} == {f"{bucket}/a.png"}


def test_names_with_two_slashes_are_names(bucket: str) -> None:
    """Keys are taken as they are."""
    s3fs.S3FileSystem().call_s3("put_object", Bucket=bucket[5:], Key="x//a.png", Body=png())
    put(bucket, "list.csv", b"path\nx//a.png\n")
    (image,), _ = listed(f"{bucket}/list.csv", CSV)
    assert image.uri == f"{bucket}/x//a.png"
    assert reader().read(image) == png()


@pytest.mark.parametrize(
    ("kind", "data", "asked"),
    [
        (CSV, b"text,number\nx,1\n", ""),
        (CSV, b"a.png\nb.png\n", ""),
        (CSV, b"path,text\na.png,x\n", "photo"),
        (CSV, b"Path,path\na.png,x\n", ""),
        (CSV, b"path,text,text\na.png,x,y\n", ""),
        (JSONL, b'{"text": "x"}\n', ""),
        (JSONL, b'{"path": "x"}\n', "photo"),
    ],
)
def test_a_column_that_cannot_be_told_is_bad_usage(
    tmp_path: Path, kind: InputFormat, data: bytes, asked: str
) -> None:
    """No column, or not one: the sentence names the manifest."""
    put(str(tmp_path), "list", data)
    with pytest.raises(UsageError, match=r"list.*column"):
        listed(str(tmp_path / "list"), kind, image_column=asked)


def test_the_column_can_be_said(tmp_path: Path) -> None:
    """The one that is said is the image, and the others are passed on, likely names too."""
    put(str(tmp_path), "list.csv", b"uri,photo\nx,a.png\n")
    images, _ = listed(str(tmp_path / "list.csv"), CSV, image_column="photo")
    assert images[0].uri == f"{tmp_path}/a.png"
    assert columns(images) == [{"uri": "x"}]


@pytest.mark.parametrize(
    ("kind", "data"),
    [(CSV, b""), (CSV, b"path,text\n"), (CSV, b"\n\n"), (JSONL, b""), (JSONL, b"\n")],
)
def test_zero_rows_are_zero_items(tmp_path: Path, kind: InputFormat, data: bytes) -> None:
    """A manifest of nothing breaks nothing."""
    put(str(tmp_path), "list", data)
    assert listed(str(tmp_path / "list"), kind) == ([], {"container": 1})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b'path,text\na.png,x\nb.png,"no end\nc.png,x\n'),
        ("a.csv", b'path,text\na.png,x\nb.png,"x"y\nc.png,x\n'),
        ("a.csv.gz", gzip.compress(b"path\na.png\n" * 100)[:-9]),
        ("a.csv.gz", b"path\na.png\n"),
        ("a.csv", b"path\na.png\n" + b"x" * (manifests.LONGEST_LINE + 1)),
    ],
)
def test_a_manifest_that_breaks_in_the_middle_is_one_item_more(
    tmp_path: Path, name: str, data: bytes
) -> None:
    """Rows before the damage are items, and one more says where it is."""
    put(str(tmp_path), f"in/{name}", data)
    put(str(tmp_path), "in/b.csv", b"path\na.png\n")
    images, skipped = listed(str(tmp_path / "in"), CSV)
    broken = [image for image in images if image.failure is not None]
    assert [image.item_id for image in broken] == [f"{tmp_path}/in/{name}#broken"]
    assert failures(broken) == [ErrorCode.BROKEN_CONTAINER]
    assert skipped == {"container": 1}


def test_pages_are_small_and_rows_in_order(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page holds no more than it should, the first one item alone, whatever the lookups take."""
    monkeypatch.setattr(page, "PAGE_IMAGES", 20)
    put(store, "a.png", png())
    put(store, "list.csv", b"path\n" + b"a.png\nb.png\n" * 50)
    job = job_spec(f"{store}/list.csv", input_format=CSV)
    pages = [one.images for one in list_images(job, patience())]
    assert [len(images) for images in pages] == [1, 20, 20, 20, 20, 19]
    rows = [image for images in pages for image in images]
    assert [image.item_id for image in rows] == sorted(image.item_id for image in rows)
    assert [bool(image.input_digest) for image in rows] == [True, False] * 50


def test_long_texts_fill_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is bounded in what its columns hold too."""
    monkeypatch.setattr(page, "PAGE_TEXT", 1000)
    put(str(tmp_path), "list.csv", b"path,text\n" + b"a.png,%s\n" % (b"x" * 400) * 10)
    job = job_spec(str(tmp_path / "list.csv"), input_format=CSV)
    assert [len(one.images) for one in list_images(job)] == [1, 3, 3, 3, 0]


def test_an_object_that_may_not_be_listed_may_be_read(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission to get without permission to list is common: such an image has no version."""
    put(bucket, "a.png", png())
    put(bucket, "list.csv", b"path\na.png\n")

    def refuse(uri: str, seconds: float) -> None:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(references, "entry_at", refuse)
    (image,), _ = listed(f"{bucket}/list.csv", CSV)
    assert (image.input_digest, image.failure) == ("", None)
    assert reader().read(image) == png()


def test_a_text_that_may_not_be_asked_about_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then whether there is one, which is another thing than none."""
    put(str(tmp_path), "a.png", png())
    put(str(tmp_path), "a.txt", b"a day")
    put(str(tmp_path), "list.csv", b"path\na.png\n")

    def refuse(uri: str, seconds: float) -> Entry | None:
        if uri.endswith(".txt"):
            raise PermissionError(13, "Access Denied")
        return entry_at(uri, seconds)

    monkeypatch.setattr(references, "entry_at", refuse)
    (image,), _ = listed(f"{tmp_path}/list.csv", CSV, text="sidecar")
    assert image.input_digest and image.sidecar is None
    assert reader().read_sidecar(image) == b"a day"


def test_a_name_that_no_bucket_can_have_is_a_bad_reference(bucket: str) -> None:
    """The store's client refuses to ask for it: that row has failed."""
    put(bucket, "a.png", png())
    put(bucket, "list.csv", f"path\ns3://A B/a.png\n{bucket}/a.png\n".encode())
    images, _ = listed(f"{bucket}/list.csv", CSV)
    assert failures(images) == [ErrorCode.BAD_REFERENCE, None]


def test_a_store_that_goes_away_makes_no_plan(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a manifest's images are looked up the store must answer: exit 75, no failed rows."""
    put(bucket, "list.csv", b"path\na.png\n")

    def stall(uri: str, seconds: float) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(references, "entry_at", stall)
    with pytest.raises(StoreError, match=r"a\.png"):
        listed(f"{bucket}/list.csv", CSV)


def test_memory_does_not_grow_with_the_manifest(tmp_path: Path) -> None:
    """A manifest of 50 MB is listed in a few."""
    with (tmp_path / "list.jsonl").open("w") as file:
        for number in range(25_000):
            file.write(json.dumps({"path": "ftp://x", "n": number, "text": "x" * 2000}) + "\n")

    def pages() -> Iterator[int]:
        for one in list_images(job_spec(str(tmp_path / "list.jsonl"), input_format=JSONL)):
            yield len(one.images)

    tracemalloc.start()
    try:
        assert sum(pages()) == 25_000
        assert tracemalloc.get_traced_memory()[1] < 25 << 20
    finally:
        tracemalloc.stop()
