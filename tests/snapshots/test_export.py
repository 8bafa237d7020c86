"""Exports: what others read of the latest labels, and what is left out of it."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import compact
from schemas.image import InputFormat
from schemas.outcome import ErrorCode
from schemas.rows import row_schema
from tests.runs import SCHEMAS, job_spec, png, put, row
from tests.snapshots.histories import Night, Told, write_run
from workers.plan import finish, freeze, load_shards, open_run
from workers.sink import commit_part
from workers.snapshots import files
from workers.snapshots.destination import path_of
from workers.snapshots.export import delta_options
from workers.store import fetch, list_pages

COLOURS = ("red", "green", "blue", "white")


def said(name: str) -> dict[str, Any]:
    return {"caption": f"it is {name}"}


def past(place: str) -> str:
    """An OUTPUT with two runs, the second unfinished: one image failed, one is gone, two share a
    name.
    """
    names = ["a.png", "a.jpg", "b/c.png", "d.png", "e.png"]
    items = {name: Told("v1", passed=said(name)) for name in names}
    items["d.png"] = Told("v1", ErrorCode.TRUNCATED)
    write_run(place, 1, Night(items))
    write_run(place, 2, Night({}, gone=["e.png"]))
    write_run(place, 3, Night({"b/c.png": Told("v2", passed=said("new"))}, parts=1))
    return f"{place}/out"


def names_in(place: str) -> list[str]:
    """All that lies there."""
    return sorted(e.uri.removeprefix(f"{place}/") for page in list_pages(f"{place}/") for e in page)


def test_captions_become_texts_under_their_images_names(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fails, is gone, or would write over another's text is counted, and said; a folder with
    something in it, or in OUTPUT, is bad usage.
    """
    output, destination = past(store), f"{store}/texts"
    assert compact.main([output, "--to", "txt", destination]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"2 images exported in 2 files: {destination}",
        "  3 left out:",
        "  1 no longer in INPUT",
        "  1 not labelled",
        "  1 whose name another image's text has, but for the extension: " + f"{store}/in/a.png",
    ]
    assert names_in(destination) == ["a.txt", "b/c.txt"]
    assert fetch(f"{destination}/a.txt") == b"it is a.jpg"
    assert fetch(f"{destination}/b/c.txt") == b"it is new"
    for wrong in (destination, f"{output}/texts"):
        assert compact.main([output, "--to", "txt", wrong]) == 2
    assert compact.main([output, "--to", "pdf", f"{store}/x"]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_lines_and_delta_tables_hold_the_same_rows(store: str) -> None:
    """Of each labelled image that is there all columns, as JSON and as a Delta table."""
    output = past(store)
    for kind in ("jsonl", "delta"):
        assert compact.main([output, "--to", kind, f"{store}/{kind}"]) == 0
    assert names_in(f"{store}/jsonl") == ["rows-00000.jsonl"]
    lines = fetch(f"{store}/jsonl/rows-00000.jsonl").decode().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [one["caption"] for one in rows] == ["it is a.jpg", "it is a.png", "it is new"]
    assert rows[0]["labelled_at"] == "2024-01-02T03:04:05+00:00"
    table = deltalake.DeltaTable(f"{store}/delta", storage_options=delta_options(store))
    found = table.to_pyarrow_table().sort_by("item_id").to_pylist()
    assert [json.loads(files.json_of(one)) for one in found] == rows


def labelled(place: str, input: str, kind: InputFormat) -> str:
    """An OUTPUT of one run, its rows of the images that INPUT holds."""
    job = job_spec(input, f"{place}/out", input_format=kind)
    run = open_run(job)
    plan = freeze(run, 2, lambda: ("cpu", 8))
    contents = [hashlib.sha256(png(colour)).hexdigest() for colour in COLOURS]
    for shard in load_shards(run, plan):
        rows = [
            row(image, plan.run_id)
            | {"content_sha256": contents[2 * shard.index + number], "uri": image.uri}
            | dict.fromkeys([column.name for column in plan.columns])
            for number, image in enumerate(shard.images)
        ]
        schema = row_schema(SCHEMAS, plan.columns)
        commit_part(run.output, plan.run_id, plan.digest, shard, rows, schema, "a")
    finish(run, plan, {})
    return run.output


def collection(place: str, kind: InputFormat) -> str:
    """An INPUT of four images, in the order of COLOURS."""
    if kind == InputFormat.IMAGES:
        for number, colour in enumerate(COLOURS):
            put(place, f"in/{number}.png", png(colour))
        return f"{place}/in"
    if kind == InputFormat.WEBDATASET:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for number, colour in enumerate(COLOURS):
                member = tarfile.TarInfo(f"{number}.png")
                member.size = len(png(colour))
                tar.addfile(member, io.BytesIO(png(colour)))
        put(place, "in/x.tar", buffer.getvalue())
        return f"{place}/in/x.tar"
    table = pa.table({"image": [png(colour) for colour in COLOURS]})
    pq.write_table(table, f"{place}/x.parquet")
    return f"{place}/x.parquet"


KINDS = [InputFormat.IMAGES, InputFormat.WEBDATASET, InputFormat.PARQUET]


@pytest.mark.parametrize("kind", KINDS)
def test_tars_hold_images_beside_their_labels(
    folder: str,
    kind: InputFormat,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wherever the images lie, after their run is pruned too; twice the same bytes; what changed
    since it was labelled is left out and counted.
    """
    monkeypatch.setattr(files, "SHARD_SAMPLES", 3)
    input = collection(folder, kind)
    output = labelled(folder, input, kind)
    for arguments in ([], ["--prune"]):
        assert compact.main([output, *arguments]) == 0
    assert compact.main([output, "--to", "webdataset", f"{folder}/one"]) == 0
    assert names_in(f"{folder}/one") == ["shard-00000.tar", "shard-00001.tar"]
    found: dict[str, bytes] = {}
    for shard in sorted(Path(folder, "one").glob("*")):
        with tarfile.open(shard) as tar:
            found |= {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    assert [found[f"{number:09d}.png"] for number in range(4)] == [png(one) for one in COLOURS]
    assert found["000000002.txt"].startswith(b"a picture of ")
    assert json.loads(found["000000003.json"])["run_id"] == "00000001"
    if kind == InputFormat.IMAGES:
        put(folder, "in/1.png", png("black"))
        capsys.readouterr()
        assert compact.main([output, "--to", "webdataset", f"{folder}/three"]) == 0
        out = capsys.readouterr().out
        assert f"  1 changed or gone since the label: {input}/1.png" in out
        put(folder, "in/1.png", png("green"))
    else:
        assert compact.main([output, "--to", "webdataset", f"{folder}/two"]) == 0
        for shard in Path(folder, "one").glob("*"):
            assert shard.read_bytes() == Path(folder, "two", shard.name).read_bytes()


IMAGES, TARS, CSV = InputFormat.IMAGES, InputFormat.WEBDATASET, InputFormat.CSV
PATHS = [
    (IMAGES, "s3://b/in", "s3://b/in/a/b.c.png", "", "a/b.c"),
    (IMAGES, "s3://b/in/2*/**/*.jpg", "s3://b/in/26/x/y.jpg", "", "26/x/y"),
    (IMAGES, "/in/one.png", "/in/one.png", "", "one"),
    (IMAGES, "/in", "/in/.png", "", ".png"),
    (IMAGES, "s3://b/in", "s3://b/in/../../etc/x.png", "", None),
    (IMAGES, "s3://b/in", "s3://b/in//./x.png", "", "x"),
    (TARS, "/in", "/in/s#1.tar#a#b/c.png", "/in/s#1.tar", "s#1/a#b/c"),
    (TARS, "/in/s.tar", "/in/s.tar#../../x.png", "/in/s.tar", None),
    (CSV, "/in/m.csv", "/in/m.csv#000000003", "/elsewhere/x.png", "m/000000003"),
]


@pytest.mark.parametrize(("kind", "input", "item", "uri", "path"), PATHS)
def test_a_path_is_that_below_input(
    kind: InputFormat, input: str, item: str, uri: str, path: str | None
) -> None:
    """Whatever INPUT is, and never out of the folder."""
    assert path_of(job_spec(input, input_format=kind), item, uri or item) == path
