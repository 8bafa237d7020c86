"""The last words of a run."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from jobs.summary import compared, night_summary, summary
from schemas.image import ImageRef, Shard
from schemas.outcome import RunFolderError
from schemas.rows import row_schema
from schemas.run import Result, ResultPart, RunNames, RunSpec
from tests.inspected import finished
from tests.runs import SCHEMAS, job_spec, rows
from tests.schemas.test_estimate import ESTIMATE, OUTCOME
from workers.plan import Run, read_result
from workers.progress import counted
from workers.sink import commit_part
from workers.tasks.choose import Choose


def whole_run(output: Path, *names: str, **changes: object) -> tuple[Run, Result]:
    """A finished run of one part that labelled images of these names."""
    job = job_spec(output=str(output))
    images = tuple(ImageRef(f"/in/{name}", f"/in/{name}", "", 3) for name in names)
    part = commit_part(
        *(job.output, "00000001", "0" * 64, Shard(0, images), rows(Shard(0, images))),
        row_schema(SCHEMAS),
        "a",
    )
    spec = RunSpec("00000001", job, "me", "0" * 16, datetime.now(UTC).isoformat())
    line = ResultPart(part.name, part.sha256, len(names), 0)
    count = len(names)
    result = Result("00000001", "0" * 64, count, count, 0, {}, {}, (line,))
    return Run(spec, finished=True), dataclasses.replace(result, **changes)


def test_files_that_were_not_looked_at_are_told_in_words(tmp_path: Path) -> None:
    """Their number and kinds; the program's own files under OUTPUT go without saying."""
    skipped = {"extension": 1200, "hidden": 2, "under_output": 7}
    run, result = whole_run(tmp_path, "a.png", skipped=skipped)
    lines = summary(run, result, False).splitlines()
    assert lines[1] == (
        "Not looked at: 1,202 other files (1,200 without an image's extension, 2 hidden)."
    )
    run, result = whole_run(tmp_path, "a.png", skipped={"under_output": 7})
    assert "Not looked at" not in summary(run, result, False)


def test_a_night_is_held_against_its_estimate(folder: str) -> None:
    """As every job's summary has it; without an estimate nothing is said of one."""
    run, plan = finished(folder, incremental=True)
    result = read_result(run)
    assert "estimated" not in night_summary("shop", plan, result)
    result = dataclasses.replace(result, estimate=ESTIMATE, outcome=OUTCOME)
    lines = night_summary("shop", plan, result).splitlines()
    assert lines[-1] == f"shop: {compared(result)[0]}"


def test_one_is_one(folder: str) -> None:
    """A night of one image is told of in the singular, and each line begins with its collection."""
    _, plan = finished(folder, incremental=True)
    result = Result("00000007", "0" * 64, 1, 1, 0, {}, {"hidden": 1, "settled": 1}, ())
    assert night_summary("shop", plan, result).splitlines() == [
        "shop: run 00000007 looked at 1 image: 1 labelled; 1 settled before.",
        "shop: Not looked at: 1 other file (1 hidden).",
    ]
    assert counted(2000, "image") == "2,000 images"


def test_names_do_not_move_the_cursor(tmp_path: Path) -> None:
    """Control characters of a name are shown escaped, and other letters as they are."""
    run, result = whole_run(tmp_path, "\x1b[2Jé\n猫.png")
    shown = summary(run, result, False)
    assert "\\x1b[2Jé\\n猫.png: " in shown
    assert "\x1b" not in shown


def test_labels_do_not_either(tmp_path: Path) -> None:
    """A choice is what INPUT says, and a tag what a vocabulary does."""
    task = Choose("<ImageHere> {text}")
    job = job_spec(output=str(tmp_path), tasks=(task.spec,), text="column:text")
    image = ImageRef("/in/a.png", "/in/a.png", "", 3)
    (row,) = rows(Shard(0, (image,)))
    row |= {
        "choices": [{"choice": "\x1b[2Jone", "logprob": -1.0}],
        "choices_prompt": task.prompt,
    }
    schema = row_schema([task.schema])
    line = {name: row[name] for name in schema.names}
    part = commit_part(job.output, "00000001", "0" * 64, Shard(0, (image,)), [line], schema, "a")
    spec = RunSpec("00000001", job, "me", "0" * 16, datetime.now(UTC).isoformat())
    parts = (ResultPart(part.name, part.sha256, 1, 0),)
    result = Result("00000001", "0" * 64, 1, 1, 0, {}, {}, parts)
    shown = summary(Run(spec, finished=True), result, False)
    assert "a.png: \\x1b[2Jone" in shown
    assert "\x1b" not in shown


def test_the_query_survives_an_apostrophe(tmp_path: Path) -> None:
    """The printed DuckDB query finds the labels of an OUTPUT called `bob's`."""
    run, result = whole_run(tmp_path / "bob's", "a.png")
    query = summary(run, result, False).partition("in DuckDB ")[2]
    assert len(duckdb.sql(query).fetchall()) == 1


def test_labels_that_are_gone_are_one_sentence(tmp_path: Path) -> None:
    """A finished run whose parts were deleted says so, and what makes new ones."""
    run, result = whole_run(tmp_path, "a.png")
    (tmp_path / RunNames(1).part(0)).unlink()
    with pytest.raises(RunFolderError, match="run 00000001 is finished but its labels are gone"):
        summary(run, result, True)


def test_labels_that_cannot_be_read_now_do_not_undo_a_run(tmp_path: Path) -> None:
    """Where the store refuses the examples, the counts and places are told without them."""
    run, result = whole_run(tmp_path, "a.png")
    part = tmp_path / RunNames(1).part(0)
    part.unlink()
    part.mkdir()
    lines = summary(run, result, False).splitlines()
    assert lines[0] == "1 of 1 images labelled."
    assert lines[1].startswith("  No examples: ")
    assert lines[2].startswith("Labels: ")
