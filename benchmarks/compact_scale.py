"""What a snapshot costs: the real `compact` over made-up runs on this machine's disk.

    python benchmarks/compact_scale.py 1000000 10000000

Of N rows nine tenths are of one run over all images, in parts of 8,192 rows; the rest are of thirty
nights, each of images from all over the collection. Each line is a process of its own. Seconds:
reading and choosing; all of it; of a processor's work. Then a second compaction, after one more
night; verifying; the view in DuckDB, counted by status. MiB: the peak of memory (VmHWM) of the
compaction, its temporary folder's, all parts and the snapshot.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.plan_scale import MIB, largest, memory_peak
from schemas.job import JobSpec, Preprocessing, TaskSpec
from schemas.rows import row_schema
from schemas.run import PART_KEY, PartFooter, Plan, PlanPage, Result, ResultPart, RunNames, RunSpec
from schemas.version import code_version
from workers.snapshots import compact, prove_snapshot, read_history, view_of
from workers.tasks.caption import Caption

PART_ROWS = 8192
NIGHTS = 30
WORDS = np.array("a the red blue small old dog cat house tree on in of with and near two".split())
TASK = Caption("<ImageHere>", 20)


def write_run(
    output: Path, ordinal: int, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    """A finished run over the images of these numbers, in their order."""
    names = RunNames(ordinal)
    job = _job(str(output))
    spec = RunSpec(names.run_id, job, "benchmark", code_version(), "2026-01-01T00:00:00+00:00")
    _write(output / names.spec, spec.to_json())
    shards = -(-len(numbers) // PART_ROWS)
    page = PlanPage(names.page("a", 0), "0" * 64, 0, shards, len(numbers))
    plan = Plan(
        *(names.run_id, "a", (page,), len(numbers), shards, 4, PART_ROWS, PART_ROWS, "cuda", 32)
    )
    _write(output / names.plan, plan.to_json())
    digest = hashlib.sha256(plan.to_json()).hexdigest()
    parts = []
    for shard in range(shards):
        some = numbers[shard * PART_ROWS : (shard + 1) * PART_ROWS]
        data = _part(job, names, digest, shard, some)
        _write(output / names.part(shard), data)
        sha256 = hashlib.sha256(data).hexdigest()
        parts.append(ResultPart(names.part(shard), sha256, len(some), 0))
    rows = len(numbers)
    result = Result(names.run_id, digest, rows, rows, 0, {}, {}, tuple(parts))
    _write(output / names.result, result.to_json())


def _part(
    job: JobSpec,
    names: RunNames,
    digest: str,
    shard: int,
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> bytes:
    rows = len(numbers)
    draw = np.random.default_rng([int(names.run_id), shard])
    words = WORDS[draw.integers(0, len(WORDS), (rows, 9))]
    uris = [
        f"s3://bucket/collection/{n // 10_000:06d}/photo-{n:012d}.jpg" for n in numbers.tolist()
    ]
    values: dict[str, object] = {
        "item_id": uris,
        "uri": uris,
        "input_digest": [f"etag:{n * 2_654_435_761 % 2**64:032x}" for n in numbers.tolist()],
        "meaning_id": [job.meaning_id()] * rows,
        "code_version": [code_version()] * rows,
        "size_bytes": draw.integers(20_000, 3_000_000, rows),
        "width": pa.array(np.full(rows, 448), pa.int32()),
        "height": pa.array(np.full(rows, 448), pa.int32()),
        "content_sha256": [draw.bytes(32).hex() for _ in range(rows)],
        "status": ["labelled"] * rows,
        "error_code": pa.nulls(rows, pa.string()),
        "error_message": pa.nulls(rows, pa.string()),
        "caption": [" ".join(nine) for nine in words.tolist()],
        "prompt": ["<ImageHere>"] * rows,
        "model_id": ["none"] * rows,
        "model_digest": ["0" * 64] * rows,
        "quantization": ["none"] * rows,
        "run_id": [names.run_id] * rows,
        "labelled_at": pa.array(np.arange(rows), pa.timestamp("us", tz="UTC")),
    }
    footer = PartFooter(names.run_id, shard, digest, "a", rows, 0)
    schema = row_schema([TASK.schema])
    schema = schema.with_metadata(schema.metadata | {PART_KEY: footer.to_json()})
    buffer = pa.BufferOutputStream()
    table = pa.table([values[name] for name in schema.names], schema=schema)
    pq.write_table(table, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def _job(output: str) -> JobSpec:
    task: TaskSpec = TASK.spec
    return JobSpec(
        input="s3://bucket/collection",
        output=output,
        tasks=(task,),
        model_id="none",
        model_digest="0" * 64,
        quantization="none",
        preprocessing=Preprocessing(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _nights(rows: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    images = rows * 9 // 10
    draw = np.random.default_rng(7)
    for _ in range(NIGHTS):
        yield np.sort(draw.choice(images, rows // 10 // NIGHTS, replace=False))


def make(output: Path, rows: int) -> None:
    """All runs of the benchmark but the last night's."""
    write_run(output, 1, np.arange(rows * 9 // 10))
    for ordinal, numbers in enumerate(_nights(rows), 2):
        write_run(output, ordinal, numbers)


def measure(output: Path, again: bool) -> dict[str, float]:
    """Compact once, in this very process."""
    with tempfile.TemporaryDirectory(prefix="scratch-") as scratch:
        tempfile.tempdir = scratch
        began, cpu = time.monotonic(), time.process_time()
        with largest(Path(scratch)) as folder:
            made = compact(read_history(str(output))[0]).snapshot
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        assert made
        figures = {
            "total": seconds,
            "cpu": cpu,
            "memory": memory_peak(),
            "folder": max(folder) / MIB,
            "snapshot": sum(path.stat().st_size for path in _files(output, made.names.folder))
            / MIB,
        }
        if again:
            return figures
        began = time.monotonic()
        assert prove_snapshot(str(output), made).whole
        figures["proof"] = time.monotonic() - began
        began = time.monotonic()
        with duckdb.connect(config={"temp_directory": scratch}) as database:
            database.execute(view_of(read_history(str(output))[0]))
            counts = database.sql("SELECT status, count(*) FROM latest GROUP BY status").fetchall()
        figures["view"] = time.monotonic() - began
        assert counts == [("labelled", made.rows)]
        return figures


def _files(output: Path, folder: str) -> list[Path]:
    return [path for path in (output / folder).rglob("*") if path.is_file()]


def _here(output: str, *flags: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--here", output, *flags]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    figures: dict[str, float] = json.loads(said)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="*")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(Path(given.here), given.again)))
        return
    names = ("total", "cpu", "memory", "folder", "snapshot", "proof", "view")
    print(f"{'rows':>11}  {'parts':>9}{'MiB':>9}" + "".join(f"{name:>9}" for name in names))
    for rows in given.rows:
        with tempfile.TemporaryDirectory(prefix="output-") as output:
            make(Path(output), rows)
            parts = _files(Path(output), "labels")
            size = sum(path.stat().st_size for path in parts) / MIB
            for again in (False, True):
                figures = _here(output, *["--again"] * again)
                values = "".join(f"{figures.get(name, 0):9.1f}" for name in names)
                print(f"{rows:>11,}  {len(parts):9,}{size:9.1f}{values}", flush=True)
                if not again:
                    write_run(Path(output), NIGHTS + 2, next(_nights(rows)))


if __name__ == "__main__":
    main()
