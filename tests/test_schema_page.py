"""docs/schema.md: what it says of the columns is so, and its examples run."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from jobs.arguments import parse
from schemas.image import Shard
from schemas.rows import ITEM_COLUMNS, ORIGIN_COLUMNS, OUTCOME_COLUMNS
from schemas.run import RunNames, RunSpec
from schemas.version import ROOT
from workers.messages import Assignment
from workers.replica import Replica
from workers.sink import commit
from workers.source import list_images
from workers.tasks import TASKS

PAGE = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
COMMAND = r"python jobs/label_bucket\.py pictures labels (.*)\n```"
PICTURES = 6


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the page's command was given: pictures, one of them broken, labels."""
    folder = tmp_path_factory.mktemp("page")
    pictures = folder / "pictures"
    pictures.mkdir()
    for path in sorted((ROOT / "examples" / "images").glob("*.png"))[:PICTURES]:
        (pictures / path.name).write_bytes(path.read_bytes())
    (pictures / "broken.png").write_bytes(b"no picture")
    (match,) = re.findall(COMMAND, PAGE)
    flags = [word.strip('"') for word in re.findall(r'\S*"[^"]*"|\S+', match)]
    flags = [flag.replace('="', "=") for flag in flags]
    places = [str(pictures), str(folder / "labels")]
    tasks = [name for name, task in TASKS.items() if not task.everywhere]
    job = parse("label_bucket", "", tasks, [*places, *flags]).request.resolve("cpu")
    spec = RunSpec("00000001", job, "me", "0" * 16, datetime.now(UTC).isoformat())
    commit(job.output, RunNames(1).spec, spec.to_json())
    given = Assignment(
        *(job, "00000001", "0" * 64, (), job.model_id, "cpu", 4, 1, 60.0, 0.0, (), "me")
    )
    images = [image for page in list_images(job) for image in page.images]
    list(Replica(given).process(Shard(0, tuple(sorted(images, key=lambda one: one.item_id)))))
    return folder


def test_the_page_names_every_column(labelled: Path) -> None:
    """Each column of a row stands in a table of the page, and each task with its version."""
    schema = pq.read_schema(next((labelled / "labels" / "labels").rglob("*.parquet")))
    cells = re.findall(r"`([\w]+)`", "\n".join(re.findall(r"^\|.*$", PAGE, re.MULTILINE)))
    common = (*ITEM_COLUMNS, *OUTCOME_COLUMNS, *ORIGIN_COLUMNS)
    assert {column.name for column in common} <= set(cells)
    assert set(schema.names) - {"colour"} <= set(cells)
    for name, task in TASKS.items():
        assert re.search(rf"^\| `{name}` \| {task.version} \|", PAGE, re.MULTILINE), name


def test_a_wide_row_reads_as_the_page_says(labelled: Path) -> None:
    """Types and nulls are those of the tables."""
    table = pq.read_table(labelled / "labels" / "labels")
    rows: list[dict[str, Any]] = table.to_pylist()
    assert len(rows) == PICTURES + 1
    for row in rows:
        good = row["status"] == "labelled"
        for name in ("caption", "tags", "hateful", "hateful_probability", "colour"):
            assert (row[name] is not None) == good, name
        if good:
            assert [tag["score"] for tag in row["tags"]] == sorted(
                (tag["score"] for tag in row["tags"]), reverse=True
            )
            assert 0 <= row["hateful_probability"] <= 1
            assert row["hateful_text_source"] == "none"


@pytest.mark.parametrize("query", examples("sql"))
def test_the_sql_runs(query: str, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB gives rows to each query of the page."""
    monkeypatch.chdir(labelled)
    assert duckdb.sql(query).fetchall()


@pytest.mark.parametrize("program", examples("python"))
def test_the_python_runs(
    program: str,
    labelled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So does pandas, and every picture is in what is printed."""
    monkeypatch.chdir(labelled)
    exec(compile(program, "docs/schema.md", "exec"), {})
    said = capsys.readouterr().out
    assert f"labelled    {PICTURES}" in said
