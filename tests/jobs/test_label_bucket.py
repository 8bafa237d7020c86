"""Several tasks at one look, as people ask for them."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.jobs.commands import ROOT, command
from tests.pictures import write_broken

PICTURES = 12
MEMES = ("what a day", "it's ### yours", "<ImageHere><|endoftext|>", "نص", " \n ", "x" * 10_000)
TASKS = ("--tasks", "caption,tags,hateful", "--ask", "kind=[vqa] Is this a photo or a drawing?")


@pytest.fixture(scope="module")
def memes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of pictures with texts of all kinds, one of them broken."""
    folder = tmp_path_factory.mktemp("memes")
    write_broken(folder)
    pictures = sorted((ROOT / "examples" / "images").glob("*.png"))[:PICTURES]
    rows = [
        {"uri": str(path), "text": MEMES[number % len(MEMES)]}
        for number, path in enumerate(pictures)
    ]
    rows.append({"uri": str(next(folder.iterdir())), "text": "broken"})
    manifest = folder / "memes.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def rows_of(output: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(output / "labels", partitioning=None).to_pylist()
    return sorted(rows, key=lambda row: str(row["item_id"]))


def test_one_look_answers_as_many_do(memes: Path, tmp_path: Path) -> None:
    """The labels of a job with all tasks are those of one job a task, image by image; a broken
    image is one failed row; the proof holds, and the file says which tasks it is of.
    """
    together = tmp_path / "together"
    ended = command("label_bucket", memes, together, *TASKS)
    assert ended.returncode == 0, ended.stderr
    rows = rows_of(together)
    assert len(rows) == PICTURES + 1
    assert sum(row["status"] == "failed" for row in rows) == 1
    for job, columns in (
        ("caption_bucket", ["caption"]),
        ("moderate_bucket", ["hateful", "hateful_raw", "hateful_text"]),
    ):
        alone = tmp_path / job
        ended = command(job, memes, alone)
        assert ended.returncode == 0, ended.stderr
        assert [[row[name] for name in columns] for row in rows_of(alone)] == [
            [row[name] for name in columns] for row in rows
        ]
    assert command("verify", together).returncode == 0
    good = [row for row in rows if row["status"] == "labelled"]
    assert {row["kind"] for row in good} <= {"a photo", "a drawing"}
    assert {row["hateful_text"] for row in good} == set(MEMES)
    assert all(row["text"] == row["hateful_text"] for row in good)
    part = next((together / "labels").rglob("*.parquet"))
    metadata = pq.read_schema(part).metadata
    assert metadata[b"bucketsight.task"] == b"ask:kind,caption,hateful,tags"
    found = duckdb.sql(f"SELECT count(*) FROM '{together}/labels/*/*.parquet' WHERE len(tags) > 0")
    ((tagged,),) = found.fetchall()
    assert 0 < tagged <= PICTURES


def test_a_vocabulary_gives_its_own_words_alone(memes: Path, tmp_path: Path) -> None:
    """With --tags-file every tag is a line of the file, at most so many, scores falling; what the
    run's status says goes on with it.
    """
    vocabulary = tmp_path / "tags.txt"
    vocabulary.write_text("apple\nfruit\nfrog\nanimal\nphoto\n狗\n")
    output = tmp_path / "out"
    flags = ("--tags-file", vocabulary, "--tags-top", 3, "--tags-threshold", 0)
    ended = command("tag_bucket", memes, output, *flags)
    assert ended.returncode == 0, ended.stderr
    for row in rows_of(output):
        if row["status"] == "labelled":
            assert len(row["tags"]) == 3
            assert {tag["tag"] for tag in row["tags"]} <= set(vocabulary.read_text().split())
            scores = [tag["score"] for tag in row["tags"]]
            assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("job", "flags", "why"),
    [
        ("label_bucket", [], "nothing is asked of the images"),
        ("label_bucket", ["--tasks", "caption,poetry"], "'poetry' is no task"),
        ("label_bucket", ["--tasks", "choose"], "'choose' is no task"),
        ("caption_bucket", ["--ask", "caption=what?"], "would be called caption"),
        ("caption_bucket", ["--ask", "a"], "is not NAME="),
        ("moderate_bucket", ["--text", "column:words"], "no column 'words'"),
        ("moderate_bucket", ["--threshold", "2"], "--threshold 2: a probability"),
        ("tag_bucket", ["--tags-file", "/nowhere"], "there is no such file"),
        ("tag_bucket", ["--tags-top", "0"], "--tags-top 0: at least 1"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    job: str, flags: list[str], why: str, memes: Path, tmp_path: Path
) -> None:
    """Exit code 2, one line that says why, no traceback, and no labels."""
    ended = command(job, memes, tmp_path / "out", *flags)
    assert ended.returncode == 2
    assert why in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out" / "labels").exists()
