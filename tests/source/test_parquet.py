"""Parquet files → their rows, and the bytes of each."""

import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.image import InputFormat
from schemas.outcome import ErrorCode, ItemError, UsageError
from tests.runs import png, put
from tests.source.listings import listed, parquet_of, reader
from workers.source import rows
from workers.source.references import row_id

PARQUET = InputFormat.PARQUET
HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PICTURES = [f"picture {number}".encode() * (number % 7) + b"." for number in range(100)]


def hugging_face(pictures: list[bytes | None]) -> pa.Array:
    """A column as Hugging Face's datasets write it."""
    return pa.array([{"bytes": one, "path": None} for one in pictures], HUGGING_FACE)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(PICTURES, pa.binary()),
        pa.array(PICTURES, pa.large_binary()),
        hugging_face(PICTURES),
    ],
    ids=["binary", "large_binary", "struct"],
)
def test_a_row_is_an_image_as_bytes(store: str, column: pa.Array) -> None:
    """The only column of bytes is the image, whatever it is called; row groups do not matter."""
    data = parquet_of({"n": list(range(100)), "pixels": column}, row_group_size=30)
    put(store, "a.parquet", data)
    images, skipped = listed(f"{store}/a.parquet", PARQUET)
    assert [image.item_id for image in images] == [
        row_id(f"{store}/a.parquet", row) for row in range(100)
    ]
    assert [image.row for image in images] == list(range(100))
    assert [json.loads(image.columns) for image in images] == [{"n": row} for row in range(100)]
    assert {image.uri for image in images} == {f"{store}/a.parquet"}
    assert skipped == {"container": 1}
    one = reader()
    assert [one.read(image) for image in images] == PICTURES


def test_a_file_of_images_alone_has_no_columns(tmp_path: Path) -> None:
    """Nothing is read to list it but its footer."""
    put(str(tmp_path), "a.parquet", parquet_of({"image": PICTURES}))
    images, _ = listed(str(tmp_path / "a.parquet"), PARQUET)
    assert len(images) == 100
    assert {image.columns for image in images} == {""}


@pytest.mark.parametrize("place", ["a.parquet", "in", "*.parquet"])
def test_files_below_a_folder_are_one_input(tmp_path: Path, place: str) -> None:
    """A folder that is called so, a folder that is said to be so, and a glob hold many files."""
    folder = tmp_path / (place if "*" not in place else "")
    for name in ("1.parquet", "2.parquet"):
        put(str(folder), name, parquet_of({"image": PICTURES[:3]}))
    put(str(folder), "_SUCCESS", b"")
    images, skipped = listed(str(tmp_path / place), PARQUET)
    assert len(images) == 6
    assert skipped["container"] == 2


def test_any_order_of_rows_is_read(store: str) -> None:
    """Backwards, at random and again: each row gives its own bytes."""
    put(store, "a.parquet", parquet_of({"image": PICTURES}, row_group_size=17))
    images, _ = listed(f"{store}/a.parquet", PARQUET)
    one = reader()
    order = [*range(99, -1, -9), *Random(1).choices(range(100), k=40), 0, 0, 99]
    assert [one.read(images[row]) for row in order] == [PICTURES[row] for row in order]


def test_threads_read_rows_side_by_side(tmp_path: Path) -> None:
    """Threads that come a little out of order, in more files than are kept open, get what is
    theirs; and no row group is begun twice for them.
    """
    for number in range(6):
        pictures = [f"{number} {row}".encode() for row in range(200)]
        put(str(tmp_path), f"in/{number}.parquet", parquet_of({"image": pictures}))
    images, _ = listed(str(tmp_path / "in"), PARQUET)
    one = reader()
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(one.read, images))
    assert read == [f"{number} {row}".encode() for number in range(6) for row in range(200)]


def test_rows_in_order_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on never goes back: a row group is begun once, though threads come a little late."""
    begun: list[int] = []
    real = rows._Stream._start

    def count(self: Any, group: int) -> None:
        begun.append(group)
        real(self, group)

    monkeypatch.setattr(rows._Stream, "_start", count)
    put(str(tmp_path), "a.parquet", parquet_of({"image": PICTURES * 5}, row_group_size=100))
    images, _ = listed(str(tmp_path / "a.parquet"), PARQUET)
    one = reader()
    for first in range(0, 500, 20):
        for row in (5, 0, 19, 3, 12, *range(20)):
            one.read(images[first + row])
    assert begun == [0]


def test_a_null_is_an_empty_image(tmp_path: Path) -> None:
    """A row without bytes fails as an empty file does; its neighbours do not."""
    for name, column in (
        ("a.parquet", pa.array([b"1", None, b"3"])),
        ("b.parquet", hugging_face([b"1", None, b"3"])),
    ):
        put(str(tmp_path), name, parquet_of({"image": column}))
        images, _ = listed(f"{tmp_path}/{name}", PARQUET)
        one = reader()
        assert one.read(images[0]) == b"1"
        with pytest.raises(ItemError, match="null") as caught:
            one.read(images[1])
        assert caught.value.code is ErrorCode.EMPTY_FILE
        assert one.read(images[2]) == b"3"


def test_a_row_may_name_its_image(store: str) -> None:
    """A column of URIs leads to objects, relative to the file; each has its own version."""
    put(store, "in/images/a.png", png("red"))
    uris = ["images/a.png", f"{store}/in/images/a.png", "images/none.png", None, "http://x/a.png"]
    data = parquet_of({"text": list("abcde"), "URL": uris, "Size": [1, 2, 3, 4, 5]})
    put(store, "in/a.parquet", data)
    images, skipped = listed(f"{store}/in/a.parquet", PARQUET)
    assert [json.loads(image.columns) for image in images] == [
        {"text": text, "Size": size} for size, text in enumerate("abcde", 1)
    ]
    assert [image.uri for image in images[:2]] == [f"{store}/in/images/a.png"] * 2
    assert [image.size_bytes for image in images] == [len(png("red"))] * 2 + [None] * 3
    assert [reader().read(image) for image in images[:2]] == [png("red")] * 2
    assert (images[2].failure, images[2].input_digest) == (None, "")
    failures = [image.failure for image in images[3:]]
    assert [one and one.error_code for one in failures] == [ErrorCode.BAD_REFERENCE] * 2
    assert skipped == {"container": 1}


def test_other_columns_keep_their_type_or_are_spelt(tmp_path: Path) -> None:
    """Text, numbers and bools pass; times become ISO 8601, decimals digits; NaN, which JSON lacks,
    is null; bytes and what is nested do not pass.
    """
    berlin = timezone(timedelta(hours=1))
    columns: dict[str, Any] = {
        "image": pa.array([b"x", b"x"]),
        "thumbnail": pa.array([b"x", b"x"]),
        "text": pa.array(["ä", None]),
        "kind": pa.array(["cat", "dog"]).dictionary_encode(),
        "small": pa.array([1, None], pa.int8()),
        "large": pa.array([2**64 - 1, 2**63 - 1], pa.uint64()),
        "share": pa.array([0.5, float("nan")]),
        "far": pa.array([float("inf"), 1.0], pa.float32()),
        "good": pa.array([True, None]),
        "nothing": pa.array([None, None], pa.null()),
        "day": pa.array([date(2024, 1, 2), None]),
        "hour": pa.array([time(3, 4, 5), None]),
        "at": pa.array([datetime(2024, 1, 2, 3, 4, 5), None], pa.timestamp("s")),
        "exact": pa.array([1, None], pa.timestamp("ns")),
        "there": pa.array(
            [datetime(2024, 1, 2, 3, tzinfo=berlin), datetime(2024, 1, 2, 3, tzinfo=UTC)],
            pa.timestamp("us", "+01:00"),
        ),
        "price": pa.array([Decimal("1.50"), None]),
        "list": pa.array([[1], [2]]),
        "": pa.array([1, 2]),
    }
    put(str(tmp_path), "a.parquet", parquet_of(columns))
    images, _ = listed(str(tmp_path / "a.parquet"), PARQUET)
    assert [json.loads(image.columns) for image in images] == [
        {
            "text": "ä",
            "kind": "cat",
            "small": 1,
            "large": "18446744073709551615",
            "share": 0.5,
            "far": None,
            "good": True,
            "nothing": None,
            "day": "2024-01-02",
            "hour": "03:04:05.000000",
            "at": "2024-01-02T03:04:05.000",
            "exact": "1970-01-01T00:00:00.000000001",
            "there": "2024-01-02T02:00:00.000000Z",
            "price": "1.50",
        },
        {
            "text": None,
            "kind": "dog",
            "small": None,
            "large": 2**63 - 1,
            "share": None,
            "far": 1.0,
            "good": None,
            "nothing": None,
            "day": None,
            "hour": None,
            "at": None,
            "exact": None,
            "there": "2024-01-02T03:00:00.000000Z",
            "price": None,
        },
    ]


def test_an_empty_text_is_a_text(tmp_path: Path) -> None:
    """`""` is passed on as it is, and as a URI it names no image."""
    texts = pa.array(["", "a"])
    put(str(tmp_path), "bytes.parquet", parquet_of({"image": [b"x", b"x"], "text": texts}))
    images, _ = listed(str(tmp_path / "bytes.parquet"), PARQUET)
    assert [json.loads(image.columns) for image in images] == [{"text": ""}, {"text": "a"}]
    put(str(tmp_path), "uris.parquet", parquet_of({"path": pa.array(["", "a.png"])}))
    images, _ = listed(str(tmp_path / "uris.parquet"), PARQUET)
    assert images[0].failure is not None
    assert "names no image" in images[0].failure.error_message
    assert images[1].failure is None


def test_texts_that_are_no_utf8_do_not_stop_the_listing(tmp_path: Path) -> None:
    """Parquet does not promise UTF-8: a bad name is a bad reference, other texts are mended."""
    broken = pa.Array.from_buffers(
        pa.string(), 2, pa.array([b"\xff.png", b"a.png"]).buffers(), null_count=0
    )
    put(str(tmp_path), "a.parquet", parquet_of({"path": broken, "text": broken}))
    images, _ = listed(str(tmp_path / "a.parquet"), PARQUET)
    assert "�" in json.loads(images[0].columns)["text"]
    assert images[0].failure is not None
    assert images[0].failure.error_code is ErrorCode.BAD_REFERENCE
    assert images[1].failure is None


@pytest.mark.parametrize(
    ("columns", "asked", "found"),
    [
        ({"a": b"x", "b": "u"}, "", "a"),
        ({"a": b"x", "image": b"y"}, "", "image"),
        ({"png": b"x", "JPG": b"y"}, "", "JPG"),
        ({"a": b"x", "b": b"y"}, "b", "b"),
        ({"image": b"x", "caption_audio": b"y"}, "caption_audio", "caption_audio"),
    ],
)
def test_the_column_of_bytes_is_found(
    tmp_path: Path, columns: dict[str, Any], asked: str, found: str
) -> None:
    """The only one, else the one with the likeliest name, else the one that is asked for."""
    put(str(tmp_path), "a.parquet", parquet_of({name: [one] for name, one in columns.items()}))
    (image,), _ = listed(str(tmp_path / "a.parquet"), PARQUET, image_column=asked)
    assert reader(image_column=asked).read(image) == columns[found]


@pytest.mark.parametrize(
    ("columns", "asked"),
    [
        ({"a": b"x", "b": b"y"}, ""),
        ({"Image": b"x", "image": b"y"}, ""),
        ({"text": "x", "number": 1}, ""),
        ({"number": 1}, ""),
        ({"image": b"x"}, "pixels"),
        ({"image": b"x", "number": 1}, "number"),
    ],
)
def test_a_column_that_cannot_be_told_is_bad_usage(
    tmp_path: Path, columns: dict[str, Any], asked: str
) -> None:
    """No column, or not one: the sentence names the file and its columns."""
    put(str(tmp_path), "a.parquet", parquet_of({name: [one] for name, one in columns.items()}))
    with pytest.raises(UsageError, match=r"a\.parquet.*column") as caught:
        listed(str(tmp_path / "a.parquet"), PARQUET, image_column=asked)
    assert "number" not in columns or "number" in str(caught.value)


def test_two_columns_of_one_name_are_bad_usage(tmp_path: Path) -> None:
    """A row could hold only one of them."""
    table = pa.Table.from_arrays([pa.array([b"x"]), pa.array([1]), pa.array([2])], ["i", "n", "n"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a\.parquet.*'n'"):
        listed(str(tmp_path / "a.parquet"), PARQUET)


def test_zero_rows_are_zero_items(tmp_path: Path) -> None:
    """An empty table holds nothing, and breaks nothing."""
    empty = pa.table({"image": pa.array([], pa.binary()), "n": pa.array([], pa.int64())})
    put(
        str(tmp_path),
        "a.parquet",
        parquet_of(dict(zip(empty.column_names, empty.columns, strict=True))),
    )
    assert listed(f"{tmp_path}/a.parquet", PARQUET) == ([], {"container": 1})


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no Parquet at all" * 100])
def test_what_is_no_parquet_is_a_failed_item(tmp_path: Path, data: bytes) -> None:
    """The other files are whole."""
    put(str(tmp_path), "in/a.parquet", data)
    put(str(tmp_path), "in/b.parquet", parquet_of({"image": [b"x"]}))
    images, _ = listed(f"{tmp_path}/in", PARQUET)
    assert [image.item_id for image in images] == [
        f"{tmp_path}/in/a.parquet#broken",
        row_id(f"{tmp_path}/in/b.parquet", 0),
    ]
    assert images[0].failure is not None
    assert images[0].failure.error_code is ErrorCode.BROKEN_CONTAINER


def test_damage_in_the_middle_costs_what_lies_there(tmp_path: Path) -> None:
    """Rows before the damaged page are read, those in it say that the file is broken; a listing
    that stumbles there has what came before.
    """
    plain = {"compression": "none", "use_dictionary": False, "row_group_size": 2000}
    pictures = [b"%08d" % row for row in range(4000)]
    data = parquet_of({"image": pictures, "n": [str(row) for row in range(4000)]}, **plain)
    footer = pq.ParquetFile(pa.BufferReader(data)).metadata
    for column in (0, 1):
        start = footer.row_group(1).column(column).data_page_offset
        data = data[:start] + b"\xff" * 64 + data[start + 64 :]
    put(str(tmp_path), "a.parquet", data)
    images, skipped = listed(f"{tmp_path}/a.parquet", PARQUET)
    assert len(images) == 2001
    assert images[-1].item_id == f"{tmp_path}/a.parquet#broken"
    assert not skipped
    one = reader()
    assert one.read(images[1999]) == pictures[1999]
    with pytest.raises(ItemError) as caught:
        one.read(images[0].__class__("x", images[0].uri, images[0].input_digest, None, row=2000))
    assert caught.value.code is ErrorCode.BROKEN_CONTAINER
    assert one.read(images[0]) == pictures[0]


def test_a_file_that_changed_since_the_plan_is_not_read(store: str) -> None:
    """Neither when it is opened late, nor when it changes while it is open."""
    pictures = [bytes([row]) * 100_000 for row in range(100)]
    put(store, "a.parquet", parquet_of({"image": pictures}, compression="none", row_group_size=50))
    images, _ = listed(f"{store}/a.parquet", PARQUET)
    early, late = reader(), reader()
    assert early.read(images[0]) == pictures[0]
    for one, data in ((early, parquet_of({"image": PICTURES})), (late, b"")):
        put(store, "a.parquet", data)
        with pytest.raises(ItemError) as caught:
            one.read(images[99])
        assert caught.value.code is ErrorCode.CHANGED_SINCE_PLAN
    filesystem, path = fsspec.url_to_fs(f"{store}/a.parquet")
    filesystem.rm_file(path)
    with pytest.raises(ItemError) as caught:
        early.read(images[99])
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_memory_does_not_grow_with_the_row_group(tmp_path: Path) -> None:
    """A row group of 200 MB is listed and read, images of 1 MB each, in half of that."""
    path = tmp_path / "a.parquet"
    block = Random(1).randbytes(1 << 20)
    schema = pa.schema([("image", pa.binary()), ("n", pa.int64())])
    with pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=False, write_batch_size=1
    ) as writer:
        pictures = [block[row:] + block[:row] for row in range(200)]
        writer.write_table(pa.table([pictures, range(200)], schema=schema), row_group_size=200)
    del pictures
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        images, _ = listed(str(path), PARQUET)
        one = reader()
        most = 0
        for row, image in enumerate(images):
            assert one.read(image) == block[row:] + block[:row]
            most = max(most, pa.total_allocated_bytes() - before)
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 120 << 20
    assert python < 30 << 20
