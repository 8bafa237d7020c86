"""The rows of a run as anybody reads them, and what tells two runs of one job apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow.parquet as pq

OF_THE_RUN = ("run_id", "labelled_at")
"""Columns in which two runs of one job differ, whatever happens."""

Row = Mapping[str, Any]


def rows_of(output: str, run_id: str = "00000001") -> list[dict[str, Any]]:
    """All rows of a run, part by part."""
    store, folder = fsspec.url_to_fs(f"{output}/labels/run={run_id}", use_listings_cache=False)
    rows: list[dict[str, Any]] = []
    for name in sorted(store.glob(f"{folder}/part-*.parquet")):
        with store.open(name, "rb") as file:
            rows += pq.ParquetFile(file).read(use_threads=False).to_pylist()
    return rows


@dataclass(frozen=True)
class Difference:
    """What a run lacks, and has too much or otherwise, beside one that nothing happened to."""

    lost: int = 0
    doubled: int = 0
    differing: int = 0
    columns: frozenset[str] = frozenset()
    """In which rows differ."""


SAME = Difference()


def compare(undisturbed: Sequence[Row], rows: Sequence[Row]) -> Difference:
    """Row by row and column by column, all that `OF_THE_RUN` does not name."""
    expected = {row["item_id"]: row for row in undisturbed}
    times = Counter(row["item_id"] for row in rows)
    columns = [_differing(row, expected.get(row["item_id"], {})) for row in rows]
    return Difference(
        lost=len(expected.keys() - times.keys()),
        doubled=sum(count - 1 for count in times.values()),
        differing=sum(map(bool, columns)),
        columns=frozenset().union(*columns),
    )


def _differing(row: Row, other: Row) -> set[str]:
    names = (row.keys() | other.keys()) - set(OF_THE_RUN)
    return {name for name in names if row.get(name) != other.get(name)}
