"""A local file is there whole or not at all."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.outcome import UsageError
from tests.clock import patience
from workers.sink.create import Answer, commit, create, tidy
from workers.store import disk
from workers.store.disk import (
    SCRATCH,
    create_on_disk,
    remove_empty_folders,
    rename_without_replacing,
    replace_on_disk,
)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def no_links(*arguments: Any, **options: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_the_name_appears_with_the_whole_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment of the link the content is whole and on the disk; nothing else is left."""
    events: list[str] = []
    link, fsync = os.link, os.fsync

    def watched_link(source: Path, target: Path) -> None:
        assert Path(source).read_bytes() == b"content"
        assert not target.exists()
        events.append("link")
        link(source, target)

    def watched_fsync(descriptor: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "link", watched_link)
    (tmp_path / "labels").mkdir()
    (tmp_path / "runs/.scratch").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    assert create_on_disk(str(tmp_path), "labels/a", b"content")
    assert events == ["file", "link", "folder"]
    assert files(tmp_path) == {"labels/a": b"content"}


@pytest.mark.parametrize("links", [True, False])
def test_a_taken_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """With hard links and without, a second creation changes nothing and leaves no scratch."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    assert create_on_disk(str(tmp_path), "labels/a", b"first")
    assert not create_on_disk(str(tmp_path), "labels/a", b"second")
    assert files(tmp_path) == {"labels/a": b"first"}


def test_a_disk_that_can_do_neither_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hard links and without an exclusive rename nothing is written."""
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: object())
    with pytest.raises(UsageError, match="neither hard links nor"):
        create_on_disk(str(tmp_path), "labels/a", b"content")
    assert files(tmp_path) == {}


def test_other_failures_of_the_rename_are_told(tmp_path: Path) -> None:
    """A rename that fails for another reason is an OSError with that reason."""
    with pytest.raises(FileNotFoundError):
        rename_without_replacing(tmp_path / "missing", tmp_path / "target")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("labels/run=00000007/part-00000.parquet", "runs/00000007/.scratch"),
        ("runs/00000007/plan/a/page-00000.parquet", "runs/00000007/.scratch"),
        ("runs/.probe-1", "runs/.scratch"),
    ],
)
def test_scratch_files_lie_with_their_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    """What a killed writer leaves is found again by the run it wrote for, and by no reader."""
    seen: list[Path] = []
    link = os.link

    def watched_link(source: Path, target: Path) -> None:
        seen.append(source.parent)
        link(source, target)

    monkeypatch.setattr(os, "link", watched_link)
    assert create_on_disk(str(tmp_path), name, b"content")
    assert seen == [tmp_path / folder]


def killed_while_it_writes(output: Path, name: str) -> None:
    """A process that has written its scratch file and is gone."""
    program = f"from workers.sink import commit; commit({str(output)!r}, {name!r}, b'half done')"
    environment = os.environ | {"BUCKETSIGHT_FAILPOINTS": f"scratched=kill@{name}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_writer_left_is_taken_away(tmp_path: Path) -> None:
    """One run's leftovers go, those of another and all that has a name stay."""
    ours, theirs = "labels/run=00000001/part-00000.parquet", "runs/00000002/plan.json"
    killed_while_it_writes(tmp_path, ours)
    killed_while_it_writes(tmp_path, theirs)
    assert sorted(name.rpartition("/")[0] for name in files(tmp_path)) == [
        "runs/00000001/.scratch",
        "runs/00000002/.scratch",
    ]
    assert create_on_disk(str(tmp_path), ours, b"content")
    tidy(str(tmp_path), "00000001")
    tidy(str(tmp_path), "00000001")  # nothing is left: no error
    left = files(tmp_path)
    assert left.pop(ours) == b"content"
    assert [name.rpartition("/")[0] for name in left] == ["runs/00000002/.scratch"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("step", ["write", "name"])
def test_a_late_writer_loses_its_scratch_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, step: str
) -> None:
    """Tidied away under its hands: taken where the name is, else tried again; never half a file."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    name, output = "labels/run=00000001/part-00000.parquet", str(tmp_path)
    tidied: list[bool] = []
    module = "workers.store.disk." + ("_write" if step == "write" else "_give_name")
    real = getattr(disk, module.rpartition(".")[2])

    def late(path: Path, *rest: Any) -> Any:
        if not tidied:
            tidied.append(True)
            tidy(output, "00000001")
        return real(path, *rest)

    monkeypatch.setattr(module, late)
    assert commit(output, name, b"first", patience()) == b"first"
    tidied.clear()
    assert create(output, name, b"second") is Answer.TAKEN
    assert files(tmp_path) == {name: b"first"}


def test_what_is_replaced_was_whole_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment of the rename the old content is there and the new one durable beside it; then
    the name is made durable too.
    """
    replace_on_disk(str(tmp_path / "heartbeat.json"), b"old, and longer")
    rename = Path.replace
    fsync = os.fsync
    seen: list[object] = []

    def watched(source: Path, target: Path) -> Path:
        seen.append((target.read_bytes(), source.read_bytes()))
        return rename(source, target)

    def watched_fsync(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}") == str(tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", watched)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    replace_on_disk(str(tmp_path / "heartbeat.json"), b"new")
    assert seen[-3:] == [False, (b"old, and longer", b"new"), True]
    assert files(tmp_path) == {"heartbeat.json": b"new"}


def test_no_empty_folder_stays(tmp_path: Path) -> None:
    """Neither that of scratch files, once a run is finished, nor that of what was deleted; one that
    holds something does.
    """
    output = str(tmp_path)
    for name in (
        "forgotten/1.json",
        "runs/00000001/plan.json",
        "labels/run=00000001/a",
        "labels/b",
    ):
        assert create_on_disk(output, name, b"content")
    replace_on_disk(f"{output}/runs/00000001/heartbeat.json", b"a part may be under way")
    scratch = tmp_path / "runs" / "00000001" / SCRATCH
    assert scratch.is_dir() and not (tmp_path / "runs" / SCRATCH).exists()
    assert create_on_disk(output, "runs/00000001/result.json", b"content")
    replace_on_disk(f"{output}/runs/00000001/heartbeat.json", b"the last beat")
    assert not scratch.exists()
    gone = ["labels/run=00000001/a", "forgotten/1.json"]
    (tmp_path / gone[0]).unlink()
    remove_empty_folders(output, [*gone, "runs/00000001/plan.json"])
    assert not (tmp_path / "labels" / "run=00000001").exists()
    assert (tmp_path / "labels" / "b").exists() and (tmp_path / gone[1]).exists()
