"""Runs of several tasks whose labels a test makes up: no model, real images and real parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.image import ImageRef
from schemas.outcome import ErrorCode
from schemas.passed import passed_values
from schemas.rows import row_schema
from schemas.run import Plan
from tests.runs import job_spec, row
from workers.plan import Run, finish, freeze, load_shards, open_run
from workers.sink import commit_part
from workers.tasks import Task
from workers.tasks.ask import Question
from workers.tasks.caption import Caption
from workers.tasks.hateful import Hateful
from workers.tasks.tags import Tags

PROMPT = "<ImageHere> {text}"
TASKS: tuple[Task, ...] = (
    Caption(PROMPT, 20),
    Tags(PROMPT, 20, (), 10, 0.01),
    Hateful(PROMPT, 1.0, 0.5),
    Question("colour", PROMPT, 20, False),
)
BEGIN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
Answers = Callable[[ImageRef, int], dict[str, Any]]


def answers(image: ImageRef, number: int) -> dict[str, Any]:
    """The columns of TASKS for the image that is so manieth of the run: every other one is hateful,
    more so the later it comes.
    """
    bad = number % 2 == 1
    return {
        "caption": f"picture {number}",
        "tags": [{"tag": f"tag {number % 3}", "score": 0.75}, {"tag": "thing", "score": 0.5}],
        "hateful": bad,
        "hateful_probability": (0.5 if bad else 0.0) + number / 1000,
        "hateful_raw": 0.5,
        "hateful_text": f"text {number}",
        "hateful_text_source": "sidecar",
        "colour": "red",
    }


def planned(
    place: str, shard_images: int = 4, name: str = "in", **changes: Any
) -> tuple[Run, Plan]:
    """A run of TASKS over `name` of `place`."""
    tasks = tuple(sorted((task.spec for task in TASKS), key=lambda task: task.key()))
    run = open_run(job_spec(f"{place}/{name}", f"{place}/out", **{"tasks": tasks} | changes))
    return run, freeze(run, shard_images, lambda: ("cpu", 8))


def label(
    run: Run,
    plan: Plan,
    tasks: Sequence[Task] = TASKS,
    answers: Answers = answers,
    failing: Mapping[str, ErrorCode] | None = None,
    skip: Sequence[int] = (),
) -> None:
    """Commit the parts of all shards but `skip`; an image whose id ends as a name of
    `failing` failed. A shard takes ten seconds.
    """
    schemas = [task.schema for task in tasks]
    schema = row_schema(schemas, plan.columns)
    for shard in load_shards(run, plan, skip):
        first = sum(map(plan.images_of, range(shard.index)))
        rows = []
        for number, image in enumerate(shard.images, first):
            codes = [c for name, c in (failing or {}).items() if image.item_id.endswith(name)]
            code = codes[0] if codes else None
            given = row(image, run.spec.run_id, code) | answers(image, number)
            values = {column.name: given.get(column.name) for column in schema}
            for column in (column for one in schemas for column in one.columns):
                if code and column.nullable:
                    values[column.name] = None
                elif not column.nullable:
                    values[column.name] = 0.5 if "double" in str(column.type) else PROMPT
            values |= passed_values(image.columns, plan.columns, schemas)
            values["labelled_at"] = BEGIN + timedelta(seconds=10 * shard.index)
            rows.append(values)
        commit_part(run.output, run.spec.run_id, plan.digest, shard, rows, schema, "a")


def finished(place: str, shard_images: int = 4, **how: Any) -> tuple[Run, Plan]:
    """A whole run of TASKS over `place`/in."""
    run, plan = planned(place, shard_images)
    label(run, plan, **how)
    finish(run, plan, {})
    return run, plan
