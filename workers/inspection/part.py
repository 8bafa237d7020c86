"""One part's bytes against everything that they must be."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import ForeignPartError, Status, UsageError
from schemas.passed import passed_values
from schemas.rows import (
    SCHEMA_VERSION_KEY,
    TASK_KEY,
    PassedColumn,
    TaskSchema,
    passed_name,
    row_schema,
)
from schemas.run import PartFooter, ResultPart
from workers.plan.erasures import FileState
from workers.sink import footer_of
from workers.tasks import Task, answer_columns


@dataclass(frozen=True, slots=True)
class Expected:
    """What the run's documents say of one part."""

    name: str
    shard: int
    run_id: str
    plan_digest: str
    job: JobSpec
    tasks: Sequence[Task]
    passed: Sequence[PassedColumn]
    """INPUT's columns, which rows end with."""
    rows: int
    images: Sequence[ImageRef] | None
    """None where the page of the plan that names them is damaged."""
    line: ResultPart | None
    """None while the run is not finished."""
    states: Sequence[FileState] = ()
    """Which files it may be, where it has a line: the one that this names, but for what was
    forgotten since.
    """

    @property
    def task_schemas(self) -> list[TaskSchema]:
        return [task.schema for task in self.tasks]

    @property
    def schema(self) -> pa.Schema:
        return row_schema(self.task_schemas, self.passed)


@dataclass(slots=True)
class Found:
    """What its bytes say."""

    labelled: int = 0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    forgotten: FileState = field(default_factory=lambda: FileState(""))
    """What it lost since the run was finished."""
    problems: list[str] = field(default_factory=list)
    """Each completes "the part …"; none: all is as it must be."""


def examine(data: bytes, expected: Expected) -> Found:
    """Compare the part's bytes with what is `expected`; where it is another file, with no more."""
    found = Found()
    if expected.line:
        digest = hashlib.sha256(data).hexdigest()
        known = [state for state in expected.states if state.sha256 == digest]
        found.forgotten = known[0] if known else expected.states[-1]
        if not known:
            lost = ", but for what was forgotten" * bool(found.forgotten.rows)
            found.problems.append(f"is not the file that result.json names by its digest{lost}")
    try:
        footer = footer_of(data, expected.name)
        # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except ForeignPartError:
        found.problems.append("was not written by this program, or its end is damaged")
    except UsageError as error:
        found.problems.append(f"has a strange footer ({error})")
    except (pa.ArrowException, OSError) as error:
        found.problems.append(f"cannot be read: {_first_line(error)}")
    else:
        strange = [*_origin(footer, expected), *_schema(table.schema, expected)]
        found.problems += strange
        if not strange:
            _examine_rows(table.combine_chunks(), footer, expected, found)
    return found


def _origin(footer: PartFooter, expected: Expected) -> Iterator[str]:
    if footer.run_id != expected.run_id:
        yield f"says that it is of run {footer.run_id}"
    if footer.shard != expected.shard:
        yield f"says that it is shard {footer.shard}"
    if footer.plan_digest != expected.plan_digest:
        yield "was made from another plan.json"


def _schema(schema: pa.Schema, expected: Expected) -> Iterator[str]:
    planned = expected.schema
    told, wanted = schema.metadata or {}, planned.metadata
    for key, name in ((SCHEMA_VERSION_KEY, "schema version"), (TASK_KEY, "tasks")):
        if told.get(key) != wanted[key]:
            value = told.get(key, b"none").decode(errors="replace")
            yield f"is of {name} {value}, not {wanted[key].decode()}"
    if not schema.equals(planned):
        columns = {column.name for column in set(schema) ^ set(planned)}
        yield f"has other columns ({', '.join(sorted(columns)) or 'in another order'})"


def _examine_rows(table: pa.Table, footer: PartFooter, expected: Expected, found: Found) -> None:
    labelled = pc.equal(table["status"], Status.LABELLED.value)
    failed = pc.equal(table["status"], Status.FAILED.value)
    codes = table["error_code"].filter(failed).to_pylist()
    found.labelled = pc.sum(labelled).as_py() or 0
    found.failed_by_code = Counter(str(code) for code in codes)
    found.problems += _items(table, expected)
    found.problems += _outcomes(table, expected.tasks, labelled, failed)
    found.problems += _counts(footer, expected, table.num_rows, found)


def _items(table: pa.Table, expected: Expected) -> Iterator[str]:
    if table.num_rows != expected.rows:
        yield f"holds {table.num_rows:,} rows, its shard {expected.rows:,} images"
    for column, wanted in (("run_id", expected.run_id), ("meaning_id", expected.job.meaning_id())):
        others = pc.not_equal(table[column], wanted)
        if (row := _first(others)) is not None:
            yield f"holds a row of {column} {table[column][row]} (row {row})"
    if expected.images is None:
        return
    tasks = expected.task_schemas
    passed = table.select([passed_name(column.name, tasks) for column in expected.passed])
    columns = [table[name].to_pylist() for name in ("item_id", "uri", "input_digest")]
    rows = zip(*columns, passed.to_pylist() or repeat({}), strict=False)
    for number, ((item, uri, version, said), image) in enumerate(
        zip(rows, expected.images, strict=False)
    ):
        if item != image.item_id:
            yield f"holds {item} where the plan has {image.item_id} (row {number})"
            return
        if uri != image.uri:
            yield f"says that {item} lies at {uri}, the plan at {image.uri} (row {number})"
            return
        if said != passed_values(image.columns, expected.passed, tasks):
            yield f"does not pass on what INPUT says of {item} (row {number})"
            return
        planned = expected.job.input_digest(image)
        if version != planned:
            yield (
                f"holds version {version!r} of {item} where the plan has {planned!r} (row {number})"
            )
            return


def _outcomes(
    table: pa.Table, tasks: Sequence[Task], labelled: pa.ChunkedArray, failed: pa.ChunkedArray
) -> Iterator[str]:
    """A labelled row has its labels and no error, a failed one an error and no label."""
    if (row := _first(pc.invert(pc.or_(labelled, failed)))) is not None:
        yield f"holds a row of status {table['status'][row].as_py()!r} (row {row})"
    for name in answer_columns(tasks):
        empty = pc.is_null(table[name])
        yield from _said(table, pc.and_(labelled, empty), f"labelled without a {name}")
        yield from _said(table, pc.and_not(failed, empty), f"failed with a {name}")
    for name in ("error_code", "error_message"):
        empty = pc.is_null(table[name])
        yield from _said(table, pc.and_not(labelled, empty), f"labelled with an {name}")
        yield from _said(table, pc.and_(failed, empty), f"failed without an {name}")


def _said(table: pa.Table, wrong: pa.ChunkedArray, what: str) -> Iterator[str]:
    if (row := _first(wrong)) is not None:
        yield f"holds an image that is {what}: {table['item_id'][row]} (row {row})"


def _counts(footer: PartFooter, expected: Expected, rows: int, found: Found) -> Iterator[str]:
    failed = found.failed_by_code.total()
    if (footer.labelled, footer.failed, footer.failed_by_code) != (
        found.labelled,
        failed,
        dict(found.failed_by_code),
    ):
        yield (
            f"counts {footer.labelled:,} labelled + {footer.failed:,} failed in its footer and "
            f"holds {found.labelled:,} + {failed:,}"
        )
    line = expected.line
    lost = found.forgotten
    if line and (line.labelled - lost.labelled, line.failed - lost.failed) != (
        found.labelled,
        failed,
    ):
        yield (
            f"holds {found.labelled:,} labelled + {failed:,} failed rows, result.json says "
            f"{line.labelled:,} + {line.failed:,}"
        )


def _first(marks: pa.ChunkedArray) -> int | None:
    """The first row that is marked."""
    index: int = pc.index(marks, True).as_py()
    return None if index < 0 else index


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
