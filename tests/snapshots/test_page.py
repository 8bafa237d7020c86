"""docs/snapshots.md: its commands, queries and program run."""

import re
import shlex
from pathlib import Path

import duckdb
import pytest

from jobs import compact
from schemas.image import InputFormat
from schemas.snapshot import ADDED_COLUMNS
from schemas.version import ROOT
from tests.snapshots.histories import Night, Told, write_run
from tests.snapshots.test_export import collection, labelled
from workers.snapshots import read_history, view_of

PAGE = (ROOT / "docs" / "snapshots.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_commands_and_queries_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their order, in a folder with labels; each query has rows, each export images."""
    output = labelled(str(tmp_path), collection(str(tmp_path), InputFormat.IMAGES), "images")
    Path(output).rename(tmp_path / "labels")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^python jobs/compact\.py .*$", PAGE, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        program, job, *arguments = shlex.split(command)
        assert (program, job) == ("python", "jobs/compact.py")
        assert compact.main(arguments) == 0, command
        said = capsys.readouterr().out
        if "--view" in arguments:
            with duckdb.connect() as database:
                database.execute(said)
                for query in examples("sql"):
                    assert database.sql(query).fetchall(), query
        if "--to" in arguments:
            assert said.startswith("4 images exported in "), command
    for column in ADDED_COLUMNS:
        assert re.search(rf"^\| `{column.name}` \| {column.type}, never null", PAGE, re.MULTILINE)


def test_the_program_reads_a_bucket(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--view` printed, through fsspec."""
    write_run(bucket, 1, Night({"a.png": Told("v1")}))
    (program,) = examples("python")
    exec(program, {"view": view_of(read_history(f"{bucket}/out")[0])})
    assert "labelled" in capsys.readouterr().out
