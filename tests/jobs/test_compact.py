"""jobs/compact.py: what it makes, deletes and refuses, what it says, and its exit codes."""

import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import compact, replay, status, verify
from schemas.outcome import ErrorCode
from schemas.run import RunNames
from schemas.snapshot import SnapshotFile, SnapshotNames
from tests.jobs.commands import command
from tests.runs import job_spec, put
from tests.snapshots.histories import Night, Told, meaning_of, rows_of, write_run
from workers.inspection import find_runs
from workers.plan.snapshot_document import newest_snapshot
from workers.snapshots import compact as compact_history
from workers.snapshots import make, read_history
from workers.store import fetch, remove

MEANING = meaning_of()
FIRST = Night({name: Told("v1") for name in ("a.png", "b.png", "c.png", "d.png", "e.png")})
SECOND = Night(
    {"a.png": Told("v2"), "b.png": Told("v1", ErrorCode.READ_FAILED), "f.png": Told("v1")},
    gone=["c.png"],
)
"""Of what the first had: one image changed, one not to be read and labelled before, one gone."""


def written(folder: str) -> set[str]:
    """The names of all files of OUTPUT/snapshots."""
    root = Path(folder, "out")
    return {str(path.relative_to(root)) for path in root.rglob("snapshots/**/*") if path.is_file()}


def two_nights(folder: str) -> str:
    """An OUTPUT with two finished runs."""
    for ordinal, night in enumerate((FIRST, SECOND), 1):
        write_run(folder, ordinal, night)
    return f"{folder}/out"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """Exit code, lines and errors of the command."""
    code = compact.main(arguments)
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_rows_read_are_rows_kept_and_superseded(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The counts that are said are those of the rows; a second time there is nothing to do, and
    nothing is written; a later run is added to the snapshot that is there.
    """
    output = two_nights(store)
    code, lines, _ = told(capsys, output)
    assert code == 0
    assert lines[:2] == [
        f"Snapshot 00000001 of meaning {MEANING}: 8 rows read (8 of 2 runs) = 6 kept + "
        "2 superseded.",
        "  6 labelled, 0 failed; 1 of them no longer in INPUT",
    ]
    rows = rows_of(output, newest_snapshot(output, MEANING))
    kept = {item[-5]: (row["run_id"][-1], row["newest_run"][-1]) for item, row in rows.items()}
    assert kept == {"a": ("2", "2"), "b": ("1", "2")} | dict.fromkeys("cde", ("1", "1")) | {
        "f": ("2", "2")
    }
    assert [item[-5] for item, row in rows.items() if row["deleted"]] == ["c"]
    code, lines, _ = told(capsys, output)
    assert (code, lines) == (
        0,
        [f"No run of meaning {MEANING} finished since snapshot 00000001: there is nothing to do."],
    )
    write_run(store, 3, Night({"c.png": Told("v1", ErrorCode.TRUNCATED)}))
    code, lines, _ = told(capsys, output)
    assert "7 rows read (6 of snapshot 00000001 + 1 of 1 run) = 6 kept + 1 superse" in lines[0]
    rows = rows_of(output, newest_snapshot(output, MEANING))
    assert not any(row["deleted"] for row in rows.values())  # it was seen again
    write_run(store, 4, Night({name: Told("v3") for name in ("a.png", "b.png", "c.png")}, parts=1))
    _, lines, _ = told(capsys, output)
    assert "there is nothing to do" in lines[0]
    assert lines[1].startswith("Left out: up to 2 rows of run 00000004, for only finished runs")


def test_a_meaning_is_named_by_how_it_begins(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a name it is the newest finished run's; the others are said. What fits none, or
    several, is bad usage, and so is a place without runs.
    """
    output = two_nights(folder)
    other = meaning_of("<ImageHere> or")
    write_run(folder, 3, replace(FIRST, prompt="<ImageHere> or"))
    code, lines, _ = told(capsys, output)
    assert code == 0
    assert other in lines[0]
    assert lines[-1] == f"Other meanings in OUTPUT: {MEANING} (--meaning names one)."
    code, lines, _ = told(capsys, output, "--meaning", MEANING[:6])
    assert MEANING in lines[0]
    for wrong, sentence in (("", "several runs' meanings begin"), ("x", "no run's meaning begins")):
        code, _, error = told(capsys, output, "--meaning", wrong)
        assert (code, error.count("\n")) == (2, 1)
        assert sentence in error
    code, _, error = told(capsys, f"{folder}/in")
    assert code == 2
    assert "holds no run" in error


KILLS = ["created=kill@part-00000", "create=kill@snapshot.json", "created=kill@snapshot.json"]


@pytest.mark.parametrize("kill", KILLS)
def test_the_next_one_is_whole_wherever_one_was_killed(
    folder: str, kill: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Leftovers are in nobody's way, and are gone with --prune."""
    output = two_nights(folder)
    assert command("compact", output, BUCKETSIGHT_FAILPOINTS=kill).returncode == -9
    whole = Path(output, SnapshotNames(MEANING, 1).snapshot).exists()
    assert whole == (kill == KILLS[-1])
    code, lines, _ = told(capsys, output)
    assert code == 0
    assert whole == ("nothing to do" in lines[0])
    snapshot = newest_snapshot(output, MEANING)
    assert snapshot and len(rows_of(output, snapshot)) == 6
    assert compact.main([output, "--prune"]) == 0
    own = {snapshot.names.snapshot, snapshot.absorbed.name, snapshot.parts[0].name}
    assert written(folder) == own
    assert verify.main([output]) == 0


def test_of_two_at_once_one_wins(folder: str) -> None:
    """The other gives way and takes its files away."""
    output = two_nights(folder)
    history, _ = read_history(output)
    winner, loser = compact_history(history), compact_history(history)
    assert (winner.ours, loser.ours) == (True, False)
    assert winner.snapshot == loser.snapshot
    assert len(written(folder)) == 3


def test_one_that_comes_too_late_does_not_claim_to_have_won(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the snapshot that took its name is replaced and deleted by then."""
    output = two_nights(folder)
    history, _ = read_history(output)
    write_absorbed = make._write_absorbed

    def late(*arguments: Any) -> SnapshotFile:
        monkeypatch.undo()
        compact.main([output])
        write_run(folder, 3, FIRST)
        compact.main([output])
        compact.main([output, "--prune"])
        return write_absorbed(*arguments)

    monkeypatch.setattr(make, "_write_absorbed", late)
    made = compact_history(history)
    assert (made.ours, made.snapshot) == (False, newest_snapshot(output, MEANING))
    assert made.snapshot and made.snapshot.ordinal == 2


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_read_makes_no_snapshot(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An altered part, a missing one, a full disk, and rows of a schema to come: the exit code, one
    sentence that names it, nothing written; then it can be done.
    """
    output = two_nights(folder)
    part = Path(output, RunNames(1).part(1))
    data = part.read_bytes()
    part.write_bytes(data[:9] + b"?" + data[10:])
    code, sentence = refused(capsys, output)
    assert (code, sentence.partition(":")[0]) == (1, f"{part} was altered")
    part.unlink()
    code, sentence = refused(capsys, output)
    assert (code, sentence.partition(",")[0]) == (1, f"{part} is missing")
    part.write_bytes(data)
    with small_files(2000):
        code, _ = refused(capsys, output)
    assert code == 75
    spec = Path(output, RunNames(3).spec)
    write_run(folder, 3, FIRST)
    value = json.loads(spec.read_bytes())
    job = job_spec(f"{folder}/in", output, "<ImageHere>", model_id="m3", schema_version=99)
    altered = {"job": job.to_json(), "fingerprint": job.fingerprint(), "lineage": job.lineage()}
    spec.write_text(json.dumps(value | altered))
    code, sentence = refused(capsys, output)
    assert code == 2
    assert sentence.startswith("run 00000003 is of schema version 99 and this program knows 1: ")
    assert not written(folder)


def refused(capsys: pytest.CaptureFixture[str], output: str) -> tuple[int, str]:
    """Exit code and the beginning of the one sentence; nothing is there that was not."""
    code, lines, error = told(capsys, output)
    assert not lines
    assert error.count("\n") == 1
    assert not list(Path(output).rglob("snapshot.json"))
    return code, error.removeprefix("compact: ")


def test_pruned_runs_are_read_from_the_snapshot_alone(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each absorbed run gets a tombstone and loses its parts, as do older snapshots; what a late
    writer puts in their place counts nowhere and goes the next time; later runs are compacted on.
    """
    output = two_nights(store)
    compact.main([output])
    write_run(store, 3, Night({"a.png": Told("v3")}))
    compact.main([output])
    late = fetch(f"{output}/{RunNames(1).part(0)}")
    before = rows_of(output, newest_snapshot(output, MEANING))
    write_run(store, 4, Night({"a.png": Told("v4"), "g.png": Told("v1")}, parts=0))
    capsys.readouterr()
    code, lines, _ = told(capsys, output, "--prune")
    assert code == 0
    assert lines[0].startswith(
        "Deleted 6 parts of runs 00000001, 00000002, 00000003, and 3 files of snapshots before; "
        f"snapshot 00000002 of meaning {MEANING} has their rows."
    )
    assert [files.pruned for files in find_runs(output)] == [True, True, True, False]
    put(output, RunNames(1).part(0), late)
    assert rows_of(output, newest_snapshot(output, MEANING)) == before
    write_run(store, 5, Night({"h.png": Told("v1")}))
    assert compact.main([output]) == 0
    assert rows_of(output, newest_snapshot(output, MEANING)).keys() - before.keys() == {
        f"{store}/in/h.png"
    }
    capsys.readouterr()
    code, lines, _ = told(capsys, output, "--prune")
    assert lines[0].startswith("Deleted 2 parts of runs 00000001, 00000005, and 3 files")
    code, lines, _ = told(capsys, output, "--prune")
    assert lines == [f"All is pruned already that snapshot 00000003 of meaning {MEANING} has."]


def test_a_pruned_run_is_not_a_broken_one(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """status and verify say where its rows are; it cannot be replayed; the job is done already;
    without the snapshot it is broken.
    """
    output = two_nights(folder)
    compact.main([output])
    compact.main([output, "--prune"])
    capsys.readouterr()
    assert status.main([output, "--run", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Run 00000001: pruned")
    assert "  its parts are pruned, its rows are in snapshot 00000001" in lines
    assert verify.main([output]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Run 00000001 is pruned: its rows, 5 labelled + 0 failed, were taken into snapshot "
        f"00000001 of meaning {MEANING}."
    )
    assert lines[2].startswith(f"Snapshot 00000001 of meaning {MEANING} is whole: 6 images = 6 la")
    assert replay.main([output, "--run", "2"]) == 2
    assert "run 00000002 is pruned" in capsys.readouterr().err
    remove(f"{output}/{SnapshotNames(MEANING, 1).snapshot}")
    assert verify.main([output]) == 1
    assert "pruned.json leads to a snapshot, and none has the rows" in capsys.readouterr().out
    assert compact.main([output]) == 1


def test_nothing_is_deleted_that_no_sound_snapshot_has(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a snapshot, with a broken one, with a run whose result is gone: no tombstone."""
    output = two_nights(folder)
    assert compact.main([output, "--prune"]) == 2
    compact.main([output])
    snapshot = newest_snapshot(output, MEANING)
    assert snapshot
    for name in (snapshot.parts[0].name, snapshot.absorbed.name, RunNames(2).result):
        data = fetch(f"{output}/{name}")
        put(output, name, data[:-9] + b"?" + data[-8:])
        assert verify.main([output]) == 1
        capsys.readouterr()
        assert compact.main([output, "--prune"]) == 1
        assert name in capsys.readouterr().err
        put(output, name, data)
    assert not any(files.pruned for files in find_runs(output))
    assert compact.main([output, "--prune"]) == 0


def test_an_image_that_comes_twice_is_found(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though digests and counts agree; so is a count that is not the rows'."""
    output = two_nights(folder)
    compact.main([output])
    snapshot = newest_snapshot(output, MEANING)
    assert snapshot
    (part,) = snapshot.parts
    rows = pq.ParquetFile(f"{output}/{part.name}").read()
    for altered, labelled, problem in (
        (pa.concat_tables([rows, rows.slice(5)]), 7, f"{part.name} is not what it must be"),
        (rows, 5, f"{snapshot.names.snapshot} counts other labelled, failed or deleted rows"),
    ):
        buffer = pa.BufferOutputStream()
        pq.write_table(altered, buffer)
        data = bytes(buffer.getvalue())
        digest, count = hashlib.sha256(data).hexdigest(), len(altered)
        told_of = replace(
            snapshot,
            parts=(replace(part, sha256=digest, rows=count),),
            labelled=labelled,
            failed=count - labelled,
            superseded=8 - count,
        )
        put(output, part.name, data)
        put(output, snapshot.names.snapshot, told_of.to_json())
        capsys.readouterr()
        assert verify.main([output]) == 1
        assert problem in capsys.readouterr().out


def test_foreign_files_are_in_nobodys_way(folder: str) -> None:
    """Whatever lies in OUTPUT/snapshots under other names is not looked at, and stays."""
    output = two_nights(folder)
    strange = ["snapshots/notes.txt", f"snapshots/{MEANING}/tmp/snapshot.json"]
    strange += [f"snapshots/{MEANING}/00000007/notes.txt", "snapshots/other/00000001/x.parquet"]
    for name in strange:
        put(output, name, b"mine")
    for arguments in ([], ["--prune"], []):
        assert compact.main([output, *arguments]) == 0
    assert set(strange) < written(folder)
    assert verify.main([output]) == 0
