"""How a run ended, for people: counts, a few images with their labels, where the rest is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.outcome import Status
from schemas.run import Result
from schemas.uri import join
from workers.plan import Run
from workers.store import PATIENCE, fetch

EXAMPLES = 5

Thing = TypeVar("Thing")


def summary(run: Run, result: Result, before: bool, column: str) -> str:
    """Several lines; `before` says that an earlier command did the work."""
    labels = join(run.output, run.names.labels)
    lines = []
    if before:
        lines += [f"Run {result.run_id} did this job already; --new-run does it again."]
    lines += [f"{result.labelled:,} of {result.items:,} images labelled{_failures(result)}."]
    lines += [f"  {_name(uri)}: {label!r}" for uri, label in examples(run, result, column)]
    lines += [
        f"Labels: {labels}/*.parquet",
        f"Read them: pandas.read_parquet({labels!r}), or in DuckDB "
        f"SELECT uri, {column} FROM '{labels}/*.parquet'",
    ]
    return "\n".join(lines)


def examples(run: Run, result: Result, column: str) -> list[tuple[str, str]]:
    """Up to EXAMPLES labelled images from all over the run: URI and label."""
    parts = [part for part in result.parts if part.labelled]
    rows: list[tuple[str, str]] = []
    for part in spread(parts, EXAMPLES):
        rows += _labelled(join(run.output, part.name), column)
    return spread(rows, EXAMPLES)


def _labelled(part: str, column: str) -> list[tuple[str, str]]:
    data = PATIENCE(lambda seconds: fetch(part, seconds=seconds))
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    file = pq.ParquetFile(pa.BufferReader(data))
    table = file.read(columns=["uri", "status", column], use_threads=False)
    table = table.filter(pc.equal(table["status"], Status.LABELLED))
    return list(zip(table["uri"].to_pylist(), table[column].to_pylist(), strict=True))


def spread(things: Sequence[Thing], count: int) -> list[Thing]:
    """Up to `count` of `things`, evenly spaced, in their order."""
    count = min(count, len(things))
    return [things[index * len(things) // count] for index in range(count)]


def _failures(result: Result) -> str:
    if not result.failed:
        return ""
    return f", {result.failed:,} failed ({_counts(result.failed_by_code)})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]
