"""Items as INPUT of a job, and its rows as answers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.outcome import RunFolderError, UsageError
from tests.pictures import write_pictures
from workers.evaluation.questions import read_rows, write_questions
from workers.evaluation.suites.hm import Meme


@pytest.fixture
def memes(tmp_path: Path) -> list[Meme]:
    return [Meme(image, f"text {image.stem}", True) for image in write_pictures(tmp_path, 3)]


def test_a_manifest_holds_questions_and_no_answers(memes: list[Meme], tmp_path: Path) -> None:
    """A line an item, in their order; what is right is not among what the model is given."""
    lines = write_questions(tmp_path / "new", "hm", memes).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"image": str(meme.image), "text": meme.text} for meme in memes
    ]


def test_a_manifest_holds_for_every_folder(
    memes: list[Meme], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that were named from this folder are named from none."""
    monkeypatch.chdir(tmp_path)
    here = [replace(meme, image=Path(meme.image.name)) for meme in memes]
    there = write_questions(tmp_path / "new", "hm", memes)
    assert write_questions(tmp_path / "new", "hm", here) == there


def test_a_manifests_name_tells_its_content(memes: list[Meme], tmp_path: Path) -> None:
    """The same questions are the same file; another text or another picture is another one."""
    first = write_questions(tmp_path / "new", "hm", memes)
    wrong = [replace(meme, hateful=False) for meme in memes]
    assert write_questions(tmp_path / "new", "hm", wrong) == first
    asked = [*memes[:2], replace(memes[2], text="else")]
    assert write_questions(tmp_path / "new", "hm", asked) != first
    os.utime(memes[0].image, ns=(0, 0))
    assert write_questions(tmp_path / "new", "hm", memes) != first
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_a_folder_that_cannot_be_is_told(memes: list[Meme], tmp_path: Path) -> None:
    """Where no manifest can be written is one sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written to .*file"):
        write_questions(tmp_path / "file", "hm", memes)


def write_part(path: Path, rows: dict[int, str]) -> None:
    names = [f"/questions.jsonl#{row:09d}" for row in rows]
    status = ["failed" if said == "failed" else "labelled" for said in rows.values()]
    table = pa.table({"item_id": names, "status": status, "answer": [*rows.values()]})
    pq.write_table(table, path)


def test_rows_come_in_the_items_order(tmp_path: Path) -> None:
    """Whatever part they lie in; one that failed is no answer."""
    write_part(tmp_path / "part-00000.parquet", {2: "c", 0: "a"})
    write_part(tmp_path / "part-00001.parquet", {1: "failed", 3: "d"})
    rows = read_rows(tmp_path, 4)
    assert [row and row["answer"] for row in rows] == ["a", None, "c", "d"]


@pytest.mark.parametrize("items", [0, 1, 3])
def test_a_missing_row_is_told(items: int, tmp_path: Path) -> None:
    """Rows that are not just those of the items are no evaluation of them."""
    write_part(tmp_path / "part-00000.parquet", {0: "a", 1: "b"})
    with pytest.raises(RunFolderError, match="does not hold a row for each"):
        read_rows(tmp_path, items)
