"""jobs/verify.py: what is proven, what is broken, and the exit code."""

import json
import re

import pytest

from jobs import verify
from jobs.again import typed
from tests.inspected import change_bytes, delete, finished, label, planned, swap
from tests.runs import put


def test_a_whole_run_is_told_in_three_lines(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and the sums that were proven."""
    run, _ = finished(store)
    assert verify.main([run.output]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Run 00000001 is whole: 7 images = 5 labelled + 2 failed.",
        "  8 listed = 7 images + 1 skipped",
        "  the plan's 1 page and 4 parts have their digests, the rows are the plan's in its order, "
        "nothing lacks and nothing is too many",
    ]


def test_each_broken_shard_is_named(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, in the order of the shards, what is no shard's first."""
    run, plan = finished(folder)
    swap(run, 1, 2)
    delete(run, run.names.part(0))
    delete(run, plan.pages[0].name)
    assert verify.main([run.output]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Run 00000001 is broken in 4 places:"
    assert lines[1] == f"  {plan.pages[0].name} is missing"
    assert lines[2] == f"  shard 0: {run.names.part(0)} is missing"
    assert lines[3].startswith(f"  shard 1: {run.names.part(1)} is not the file that result.json")
    assert lines[4].startswith(f"  shard 2: {run.names.part(2)} is not the file that result.json")
    assert len(lines) == 5


def test_more_than_a_page_of_faults_is_counted(
    folder: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones are named, then the others are counted."""
    monkeypatch.setattr(verify, "LINES", 2)
    run, _ = finished(folder)
    for shard in range(4):
        delete(run, run.names.part(shard))
    assert verify.main([run.output]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines[1:3]] == ["  shard 0", "  shard 1"]
    assert lines[3:] == ["  … and 2 more"]


def test_an_unfinished_run_owes_its_shards(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the owed shards in ranges; what is there is proven, or broken as in any run."""
    run, plan = planned(folder)
    label(run, plan, skip={0, 1, 3})
    assert verify.main([run.output]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Run 00000001 is unfinished: 7 images = 2 labelled + 0 failed + 5 owed.",
        "  shards owed: 0-1, 3",
        f"  {typed('jobs/status.py', run.output)} tells how to go on with it",
    ]
    put(run.output, run.names.part(2), b"garbage")
    assert verify.main([run.output]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Run 00000001 is broken in 1 place:"
    assert lines[1].startswith(f"  shard 2: {run.names.part(2)} was not written by this program")
    assert lines[2] == "  shards owed: 0-1, 3"
    delete(run, run.names.plan)
    delete(run, run.names.part(2))
    assert verify.main([run.output]) == 1
    assert capsys.readouterr().out == "Run 00000001 is unfinished: it has no plan yet.\n"


def test_all_finished_runs_and_the_newest_unfinished_one_are_looked_at(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unfinished one whose job a later run did counts only when it is asked for."""
    planned(folder)
    run, _ = finished(folder, new_run=True)
    assert verify.main([run.output]) == 0
    assert runs_told(capsys) == ["00000002"]
    assert verify.main([run.output, "--run", "1"]) == 1
    assert runs_told(capsys) == ["00000001"]
    planned(folder, prompt="another <ImageHere>")
    finished(folder, prompt="a third <ImageHere>")
    assert verify.main([run.output]) == 1
    assert runs_told(capsys) == ["00000002", "00000004", "00000003"]


def runs_told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line.split()[1] for line in lines if line.startswith("Run ")]


def test_json_tells_the_same(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A list with an object for each run."""
    run, _ = finished(folder)
    delete(run, run.names.part(3))
    assert verify.main([run.output, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "run": "00000001",
            "whole": False,
            "finished": True,
            "images": 7,
            "skipped": {"extension": 1},
            "shards": 4,
            "sound_parts": 3,
            "labelled": 4,
            "failed": 2,
            "failed_by_code": {"truncated": 2},
            "forgotten": 0,
            "owed_shards": [],
            "pruned": False,
            "broken": [{"shard": 3, "file": run.names.part(3), "problem": "is missing"}],
        }
    ]


def test_names_do_not_move_the_cursor(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What lies about in OUTPUT is shown escaped."""
    run, _ = finished(folder)
    put(run.output, f"{run.names.labels}/\x1b[2J.parquet", b"")
    assert verify.main([run.output]) == 1
    assert "\\x1b[2J.parquet does not belong there" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["spec", "plan", "result"])
def test_what_a_later_program_wrote_is_no_damage(
    name: str, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one sentence."""
    run, _ = finished(folder)
    later = b'"format_version":99'
    change_bytes(
        run, getattr(run.names, name), lambda data: re.sub(rb'"format_version":\d+', later, data)
    )
    assert verify.main([run.output]) == 2
    said = capsys.readouterr()
    assert f"{name}.json is of format version 99 and this program knows" in said.err
    assert "broken" not in said.out


def test_a_broken_claim_is_one_broken_run_of_the_list(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are proven all the same, finished or not."""
    first, _ = finished(folder)
    finished(folder, new_run=True)
    last, _ = planned(folder, prompt="another <ImageHere>")
    for run in (first, last):
        change_bytes(run, run.names.spec, lambda data: data[:100])
    assert verify.main([first.output]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Run 00000001 is broken in 1 place:"
    assert lines[1].startswith(f"  {first.names.spec} cannot be understood (")
    assert lines[2].startswith("Run 00000002 is whole")
    assert lines[5] == "Run 00000003 is broken in 1 place:"
    assert verify.main([first.output, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["whole"] for one in told] == [False, True, False]


def test_a_place_without_runs_is_bad_usage(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one sentence."""
    assert verify.main([folder]) == 2
    assert capsys.readouterr().err.startswith(f"verify: {folder} holds no run")
