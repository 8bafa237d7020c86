"""The items of a suite as INPUT of a labelling job, and the rows that came of them.

{"image": "/data/img/01.png", "text": "look at this"}       a line an item, in their order
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.outcome import RunFolderError, Status, UsageError
from workers.evaluation.suites.base import Item

IMAGE, TEXT = "image", "text"
"""Columns of the manifest."""
NAME_LENGTH = 16
"""Hex digits of a manifest's name."""


def write_questions(folder: Path, suite: str, items: Sequence[Item]) -> Path:
    """A manifest in `folder`, which is made where it is missing. Its name tells its content and the
    versions of the pictures, so that another question or picture makes another manifest.

    Raises:
        UsageError: it cannot be written.
    """
    lines = "".join(json.dumps(item.columns(), ensure_ascii=False) + "\n" for item in items)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{suite}-{_digest(lines, items)}.jsonl"
        if not path.exists():
            descriptor, new = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(lines)
            os.replace(new, path)
    except OSError as error:
        raise UsageError(f"the questions cannot be written to {folder}: {error}") from error
    return path


def _digest(lines: str, items: Sequence[Item]) -> str:
    pictures = (item.image.stat() for item in items)
    versions = [(about.st_size, about.st_mtime_ns) for about in pictures]
    return hashlib.sha256((lines + json.dumps(versions)).encode()).hexdigest()[:NAME_LENGTH]


def read_rows(parts: Path, items: int) -> list[dict[str, Any] | None]:
    """The rows of a finished run over such a manifest in the items' order; None is one that failed.

    Raises:
        RunFolderError: a row is missing, or no row of ours.
    """
    rows: dict[int, dict[str, Any] | None] = {}
    for part in sorted(parts.glob("part-*.parquet")):
        # With threads of its own Arrow may outlive the answer, and abort a process that is ending.
        file = pq.ParquetFile(pa.BufferReader(part.read_bytes()))
        for row in file.read(use_threads=False).to_pylist():
            number = int(row["item_id"].rpartition("#")[2])
            rows[number] = row if row["status"] == Status.LABELLED else None
    if rows.keys() != set(range(items)):
        raise RunFolderError(
            f"{parts} does not hold a row for each of {items:,} items: evaluate into another --out"
        )
    return [rows[number] for number in range(items)]
