"""Somebody who reads all labels again and again while they come, and believes nothing.

Usage: python -m tests.faults.reader pyarrow|duckdb OUTPUT UNTIL    (until the file UNTIL is there)

Prints a JSON object: how often it read, how many rows it saw in the end, and what was wrong: a file
that cannot be read, an item twice within a run, a row that changed or went.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow.parquet as pq

PARTS = "labels/run=*/part-*.parquet"
SECONDS_BETWEEN_READS = 0.2

Rows = dict[tuple[str, str], str]
"""A row, in one string, by run and item."""


def by_pyarrow(output: str) -> list[dict[str, Any]]:
    store, place = fsspec.url_to_fs(f"{output}/{PARTS}", use_listings_cache=False)
    rows: list[dict[str, Any]] = []
    for name in store.glob(place):
        with store.open(name, "rb") as file:
            rows += pq.read_table(file, partitioning=None).to_pylist()
    return rows


def by_duckdb(output: str) -> list[dict[str, Any]]:
    with duckdb.connect() as database:
        if "://" in output:
            database.register_filesystem(fsspec.filesystem("s3", use_listings_cache=False))
        parts = f"{output}/{PARTS}"
        if database.execute("SELECT count(*) FROM glob(?)", [parts]).fetchone() == (0,):
            return []
        query = "SELECT * FROM read_parquet(?, hive_partitioning = false)"
        return list(database.execute(query, [parts]).to_arrow_table().to_pylist())


READERS: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "pyarrow": by_pyarrow,
    "duckdb": by_duckdb,
}


def look(rows: list[dict[str, Any]], before: Rows) -> tuple[Rows, list[str]]:
    """What is there now, and what is wrong with it."""
    now: Rows = {}
    wrong = []
    for row in rows:
        name = (row["run_id"], row["item_id"])
        if name in now:
            wrong.append(f"twice: {name}")
        now[name] = str(sorted(row.items(), key=lambda pair: str(pair[0])))
    wrong += [f"gone: {name}" for name in before.keys() - now.keys()]
    wrong += [f"changed: {name}" for name in before.keys() & now if before[name] != now[name]]
    return now, wrong


def main() -> None:
    reader, output, until = sys.argv[1:]
    polls = 0
    seen: Rows = {}
    wrong: list[str] = []
    while True:
        last = Path(until).exists()
        try:
            seen, found = look(READERS[reader](output), seen)
            wrong += found
        except Exception as error:  # noqa: BLE001 - whatever it is, a reader should not have met it
            wrong.append(f"{type(error).__name__}: {error}")
        polls += 1
        if last:
            break
        time.sleep(SECONDS_BETWEEN_READS)
    print(json.dumps({"polls": polls, "rows": len(seen), "wrong": wrong[:20]}))


if __name__ == "__main__":
    main()
