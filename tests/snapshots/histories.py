"""Runs of any past, written as the program writes them, and the right rows told the long way."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import PASSING, ErrorCode
from schemas.rows import PassedColumn, row_schema
from schemas.run import ListPage, Plan, RunNames, RunSpec
from schemas.snapshot import Snapshot
from tests.runs import SCHEMAS, job_spec, row
from workers.plan import Run, finish, load_shards
from workers.plan.cut import Cut
from workers.plan.erasures import read_erasures
from workers.plan.pages import cut_pages, encode_page, items_table
from workers.sink import commit, commit_part
from workers.snapshots.make import write_table
from workers.snapshots.parts import files_of, read_files

Rows = dict[str, dict[str, Any]]
"""By item_id."""


@dataclass(frozen=True)
class Told:
    """What a run says of an item."""

    version: str
    code: ErrorCode | None = None
    passed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Night:
    """A run as a test wants it."""

    items: Mapping[str, Told]
    """By the name of the image under INPUT."""
    input: str = "in"
    prompt: str = "<ImageHere>"
    parts: int | None = None
    """So many of its parts are there; None: all, and it is finished."""
    gone: Sequence[str] | None = None
    """Names that INPUT no longer lists: the run is incremental."""
    columns: tuple[PassedColumn, ...] = ()


def write_run(place: str, ordinal: int, night: Night) -> Run:
    """Write the run into `place`/out: spec, plan, parts of 2 rows each and, at the end, result."""
    output, names = f"{place}/out", RunNames(ordinal)
    job = job_spec(f"{place}/{night.input}", output, night.prompt, model_id=f"m{ordinal}")
    job = replace(job, incremental=night.gone is not None)
    spec = RunSpec(names.run_id, job, f"claimant {ordinal}", "0" * 16, "2024-01-01T00:00:00+00:00")
    commit(output, names.spec, spec.to_json())
    run = Run(spec, finished=False)
    plan = _plan(run, night)
    schema = row_schema(SCHEMAS, plan.columns)
    for shard in list(load_shards(run, plan))[: night.parts]:
        rows = [_row(job, image, names, night) for image in shard.images]
        commit_part(output, names.run_id, plan.digest, shard, rows, schema, "a")
    if night.parts is None:
        finish(run, plan, {})
        return replace(run, finished=True)
    return run


def _plan(run: Run, night: Night) -> Plan:
    job, names = run.spec.job, run.names
    uris = {name: f"{job.input}/{name}" for name in night.items}
    images = [
        ImageRef(uris[name], uris[name], night.items[name].version, 3) for name in night.items
    ]
    images.sort(key=lambda image: image.item_id)
    pages = []
    for index, table in enumerate(cut_pages(items_table(images).to_batches(), Cut(2, 2))):
        page, data = encode_page(names.page("a", index), table)
        commit(run.output, page.name, data)
        pages.append(page)
    gone = ()
    if night.gone:
        ids = pa.table({"item_id": sorted(f"{job.input}/{name}" for name in night.gone)})
        file = write_table(run.output, names.gone("a", 0), ids)
        gone = (ListPage(file.name, file.sha256, file.rows),)
    shards = -(-len(images) // 2)
    plan = Plan(
        *(names.run_id, "a", tuple(pages), len(images), shards, 4, 2, 2, "cpu", 8),
        columns=night.columns,
        gone=gone,
    )
    return Plan.from_json(commit(run.output, names.plan, plan.to_json()), names.plan)


def _row(job: JobSpec, image: ImageRef, names: RunNames, night: Night) -> dict[str, Any]:
    told = night.items[image.uri.removeprefix(f"{job.input}/")]
    nothing = {column.name: None for column in night.columns}
    own = row(image, names.run_id, told.code) | {"meaning_id": job.meaning_id()}
    return own | nothing | dict(told.passed)


def meaning_of(prompt: str = "<ImageHere>") -> str:
    """The meaning_id of a night that asks with `prompt`."""
    return job_spec(prompt=prompt).meaning_id()


def written(run: Run) -> list[dict[str, Any]]:
    """The rows of all parts of a run."""
    folder = Path(run.output, run.names.labels)
    return [row for part in folder.glob("*") for row in pq.ParquetFile(part).read().to_pylist()]


def right_rows(
    place: str, past: Sequence[tuple[Night, list[dict[str, Any]]]], finished_only: bool, prompt: str
) -> Rows:
    """The rule, row by row over all parts: of the version that the newest run tells of, which a
    look that met none does not; good before failed for good before failed for now, the newest;
    deleted if the newest incremental run of the newest row's INPUT says so and nothing newer tells
    of it.
    """
    said: dict[str, list[dict[str, Any]]] = {}
    lists: dict[str, tuple[int, set[str]]] = {}
    for ordinal, (night, rows) in enumerate(past, 1):
        if night.prompt != prompt:
            continue
        root = f"{place}/{night.input}"
        if night.gone is not None:
            lists[root] = ordinal, {f"{root}/{name}" for name in night.gone}
        if finished_only and night.parts is not None:
            continue
        for one in rows:
            said.setdefault(one["item_id"], []).append(one | {"root": root})
    return {item: _right(rows, lists) for item, rows in said.items()}


def _right(rows: list[dict[str, Any]], lists: Mapping[str, tuple[int, set[str]]]) -> dict[str, Any]:
    telling = [one for one in rows if one["input_digest"] or one["error_code"] not in PASSING]
    newest = max(telling or rows, key=lambda one: str(one["run_id"]))
    right = max(
        (one for one in rows if one["input_digest"] == newest["input_digest"]),
        key=lambda one: (
            *(one["status"] == "labelled", one["error_code"] not in PASSING, one["run_id"]),
        ),
    )
    ordinal, gone = lists.get(newest["root"], (0, set()))
    deleted = right["item_id"] in gone and ordinal > int(newest["run_id"])
    own = {name: value for name, value in right.items() if name != "root"}
    return own | {"newest_run": newest["run_id"], "deleted": deleted}


def rows_of(output: str, snapshot: Snapshot | None) -> Rows:
    """The rows of a snapshot, each once, in the order of their ids."""
    assert snapshot
    tables = [
        file.read()
        for _, file in read_files(output, files_of(snapshot, read_erasures(output)), None)
    ]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    ids = [row["item_id"] for row in rows]
    assert ids == sorted(set(ids))
    return dict(zip(ids, rows, strict=True))


def widened(rows: Rows, like: Rows) -> Rows:
    """`rows` with the columns of `like`, and `said` of its type, as DuckDB spells it."""
    names = {name for row in like.values() for name in row}
    kinds = {type(row.get("said")) for row in like.values()} - {type(None)}
    (kind,) = kinds or {str}
    return {
        item: {name: row.get(name) for name in names}
        | ({"said": as_kind(row.get("said"), kind)} if "said" in names else {})
        for item, row in rows.items()
    }


def as_kind(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    return str(value).lower() if kind is str else kind(value)


KINDS = {"bool": [True, False], "int64": [1, -7], "double": [0.5, 2.0], "string": ["a", "é"]}
CODES = [None, None, ErrorCode.TRUNCATED, ErrorCode.READ_FAILED]
UNMET = [("", ErrorCode.NOT_FOUND), ("", ErrorCode.BAD_REFERENCE)]


def made_up(seed: int) -> list[Night]:
    """A past at random: versions that come and never come back, two INPUTs of which one holds the
    other, two prompts, failures, looks that met no version, runs that are unfinished or empty,
    items that go and sometimes return, columns of all types.
    """
    draw = random.Random(seed)
    version = dict.fromkeys([f"in/{number}.png" for number in range(4)], 0)
    version |= dict.fromkeys([f"in/more/{number}.png" for number in range(5)], 0)
    two = draw.sample(sorted(KINDS), 2)  # of three what comes out would depend on the way
    nights = []
    for _ in range(draw.randrange(2, 9)):
        for name in draw.sample(sorted(version), 2):
            version[name] += 1
        input = draw.choice(["in", "in", "in/more"])
        there = [name for name in sorted(version) if name.startswith(f"{input}/")]
        names = draw.sample(there, draw.randrange(len(there)))
        incremental = draw.random() < 0.5
        left = sorted(set(there) - set(names))
        if not incremental:
            names = names or there[:1]
        kinds = draw.sample(two, 1) if draw.random() < 0.6 else []
        columns = tuple(PassedColumn("said", kind) for kind in kinds)
        items = {
            name.removeprefix(f"{input}/"): Told(
                *draw.choice([(f"v{version[name]}", code) for code in CODES] + UNMET),
                {column.name: draw.choice([None, *KINDS[column.type]]) for column in columns},
            )
            for name in names
        }
        shards = -(-len(items) // 2)
        gone = draw.sample(left, min(2, len(left)))
        half = shards and nights and draw.random() < 0.25
        nights.append(
            Night(
                items,
                input=input,
                prompt=draw.choice(["<ImageHere>", "<ImageHere>", "<ImageHere> or"]),
                parts=draw.randrange(shards) if half else None,
                gone=[name.removeprefix(f"{input}/") for name in gone] if incremental else None,
                columns=columns,
            )
        )
    return nights
