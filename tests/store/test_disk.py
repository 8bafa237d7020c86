"""A local file is there whole or not at all."""

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from schemas.outcome import UsageError
from workers.store.disk import create_on_disk, rename_without_replacing


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
