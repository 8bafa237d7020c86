"""One image and what came of it, as the row that lands in the part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from schemas.asks import Reply
from schemas.image import ImageRef
from schemas.outcome import Failure, Status
from schemas.passed import passed_values
from schemas.version import code_version
from workers.messages import Assignment
from workers.tasks import Item, Task

NO_TEXT = Item()
Row = dict[str, Any]
"""By the names of `schemas.rows.row_schema`."""

Outcome = tuple[Reply, ...] | Failure
"""A reply to each task in its order, or why there is none to any."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One image on its way: what became of it before the model looks at it."""

    ref: ImageRef
    image: Image.Image | None = None
    """At the model's input size; None where there is a failure."""
    failure: Failure | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    content_sha256: str | None = None
    item: Item = NO_TEXT
    format: str = ""
    """As `workers.images.formats` calls it; "" where its bytes were not had, or are no image's."""


def row_of(seen: Seen, outcome: Outcome, tasks: Sequence[Task], assignment: Assignment) -> Row:
    """The row of an image to which the model replied, or that failed."""
    ref, job = seen.ref, assignment.job
    failure = outcome if isinstance(outcome, Failure) else None
    replies = [None] * len(tasks) if isinstance(outcome, Failure) else outcome
    row = {
        "item_id": ref.item_id,
        "uri": ref.uri,
        "input_digest": job.input_digest(ref),
        "meaning_id": job.meaning_id(),
        "code_version": code_version(),
        "size_bytes": seen.size_bytes,
        "width": seen.width,
        "height": seen.height,
        "content_sha256": seen.content_sha256,
        "status": Status.FAILED if failure else Status.LABELLED,
        "error_code": failure.error_code if failure else None,
        "error_message": failure.error_message if failure else None,
        "model_id": job.model_id,
        "model_digest": job.model_digest,
        "quantization": job.quantization,
        "run_id": assignment.run_id,
        "labelled_at": datetime.now(UTC),
    }
    for task, reply in zip(tasks, replies, strict=True):
        row |= task.columns(reply, seen.item)
    schemas = [task.schema for task in tasks]
    return row | passed_values(ref.columns, assignment.columns, schemas)
