"""One name, one creator, whatever happens on the way."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import s3fs

from schemas.outcome import StoreError, UsageError
from schemas.uri import join
from tests.clock import patience
from tests.fake_store import fake_store
from tests.runs import put
from workers.sink.create import Answer, commit, create
from workers.store import fetch
from workers.store.s3 import S3Store


def race(output: str, name: str, writers: int) -> list[Answer]:
    """`writers` threads create `name` at the same moment, each with a content of its own."""
    barrier = threading.Barrier(writers)

    def write(writer: int) -> Answer:
        barrier.wait()
        return create(output, name, f"writer {writer}".encode() * 100)

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(write, range(writers)))


def test_of_many_writers_one_creates(store: str) -> None:
    """In each race one writer is told that it created, and what is there is its content."""
    races = 3 if "://" in store else 30  # SeaweedFS lets each loser wait for a second
    for number in range(races):
        name = f"labels/run=00000001/race-{number}"
        answers = race(store, name, 4)
        assert sorted(answer.value for answer in answers) == ["created"] + ["taken"] * 3
        winner = answers.index(Answer.CREATED)
        assert fetch(join(store, name)) == f"writer {winner}".encode() * 100


def test_a_taken_name_keeps_its_content(store: str) -> None:
    """A late writer changes nothing and is given what is there."""
    assert commit(store, "labels/a b#%é", b"first", patience()) == b"first"
    assert create(store, "labels/a b#%é", b"second") is Answer.TAKEN
    assert commit(store, "labels/a b#%é", b"second", patience()) == b"first"


def lose(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    """The store does what it is asked and the answer gets lost, or does nothing: in that order."""
    real = S3Store.create

    def faulty(store: S3Store, output: str, name: str, data: bytes, seconds: float | None) -> None:
        fate = answers.pop(0) if answers else ""
        if fate != "nothing done":
            real(store, output, name, data, seconds)
        if fate:
            raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(S3Store, "create", faulty)


def test_a_lost_answer_is_no_lost_file(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored, but the answer lost: unknown, and reading shows that it was stored."""
    lose(monkeypatch, ["answer lost"])
    assert create(bucket, "a", b"mine") is Answer.UNKNOWN
    lose(monkeypatch, ["answer lost"])
    assert commit(bucket, "b", b"mine", patience()) == b"mine"
    assert fetch(f"{bucket}/b") == b"mine"


def test_a_lost_request_is_asked_again(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not stored, and no answer: the name is tried again until it is there."""
    lose(monkeypatch, ["nothing done", "nothing done", "answer lost"])
    assert commit(bucket, "a", b"mine", patience()) == b"mine"
    assert fetch(f"{bucket}/a") == b"mine"


def test_a_twin_that_wins_meanwhile_is_seen(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's file that came between two tries is what the name holds."""
    lose(monkeypatch, ["nothing done"])
    put(bucket, "a", b"theirs")
    assert commit(bucket, "a", b"mine", patience()) == b"theirs"


def test_a_store_that_stays_away_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline it is exit 75."""
    lose(monkeypatch, ["nothing done"] * 10_000)
    with pytest.raises(StoreError, match="cannot be written now"):
        commit(bucket, "a", b"mine", patience())


@pytest.mark.parametrize("name", ["NoSuchBucket", "wrong key"])
def test_a_bucket_that_cannot_be_written_is_bad_usage(
    bucket: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No such bucket, and no permission, are said at once."""
    output = bucket
    if name == "wrong key":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        s3fs.S3FileSystem.clear_instance_cache()
    else:
        output = "s3://no-such-bucket"
    with pytest.raises(UsageError, match=r"credentials are refused|no such bucket"):
        create(output, "a", b"x")


@pytest.mark.parametrize("output", ["memory://out", "http://127.0.0.1:9/out"])
def test_other_stores_are_refused(output: str) -> None:
    """A store of which nothing is known about exclusive creation takes no labels."""
    with pytest.raises(UsageError, match="exclusively"):
        create(output, "a", b"x")


def test_a_full_disk_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is exit 75, with nothing half written left behind."""
    (tmp_path / "labels").mkdir()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        commit(str(tmp_path), "labels/a", b"x", patience())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("number", [13, 30])
def test_a_disk_that_may_not_be_written_is_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No permission, and a file system mounted to be read only."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match=r"no permission|may only be read"):
        create(str(tmp_path), "labels/a", b"x")


def test_an_output_over_two_disks_is_bad_usage(tmp_path: Path) -> None:
    """labels/ on another disk than runs/ cannot be linked to, and that is said with its cure."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second file system at hand")
    with TemporaryDirectory(dir=other) as elsewhere:
        (tmp_path / "labels").symlink_to(elsewhere)
        with pytest.raises(UsageError, match="keep it on one"):
            commit(str(tmp_path), "labels/a", b"x", patience())


def test_a_file_where_a_folder_should_be_is_bad_usage(tmp_path: Path) -> None:
    """OUTPUT, or a folder in it, that is a file is not taken for a taken name."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="a file stands where a folder is named"):
        create(str(tmp_path / "out"), "labels/a", b"x")


def test_whether_a_store_creates_is_its_own_property() -> None:
    """A store of any scheme that says that it creates exclusively takes labels."""
    with fake_store() as store:
        assert create("sim://out", "labels/a", b"first") is Answer.CREATED
        assert commit("sim://out", "labels/a", b"second", patience()) == b"first"
        store.creates = False
        with pytest.raises(UsageError, match="exclusively"):
            create("sim://out", "labels/b", b"x")
