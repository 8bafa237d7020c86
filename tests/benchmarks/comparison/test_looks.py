"""What the runner is asked at one look, and what the tables say of the time that it takes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.comparison.alone import measure_asked
from benchmarks.comparison.batches import Tried
from benchmarks.comparison.looks import NOUNS, asks
from benchmarks.comparison.measurement import Measurement
from benchmarks.comparison.question import EVERY_TAG, LOOKS, THREE, VOCABULARY, Question
from benchmarks.comparison.report import records, tables
from benchmarks.comparison.rounds import compare
from schemas.asks import Prompt, Rank, Write
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_pictures


@pytest.fixture
def question(tmp_path: Path) -> Question:
    write_pictures(tmp_path / "images", 3)
    return Question(
        images=str(tmp_path / "images"),
        model=str(save_tiny_checkpoint(tmp_path / "tiny")),
        device="cpu",
        quant="none",
        batch_size=2,
        cpus_per_replica=1,
    )


def test_a_thousand_nouns() -> None:
    """The vocabulary is a thousand words, sorted, each once."""
    nouns = NOUNS.read_text().splitlines()
    assert len(nouns) == 1000
    assert nouns == sorted({*nouns})
    assert all(noun.isascii() and noun.isalpha() and noun.islower() for noun in nouns)


def test_three_tasks_ask_for_the_caption_that_a_replica_writes(question: Question) -> None:
    """The caption of the three is the one that stands alone; the meme has its text."""
    generation = question.checkpoint.generation
    caption, tags, meme = asks(THREE, question.checkpoint)
    assert caption == Write(Prompt(generation.caption_prompt), generation.max_new_tokens)
    assert isinstance(tags, Write) and isinstance(meme, Rank)
    assert meme.prompt.text and len(meme.prompt.text.split()) == 8


def test_a_vocabulary_with_and_without_a_threshold(question: Question) -> None:
    """Both rank a thousand tags for the ten likeliest; one of them leaves unlikely ones out."""
    (likely,), (every,) = (asks(look, question.checkpoint) for look in (VOCABULARY, EVERY_TAG))
    assert isinstance(likely, Rank) and isinstance(every, Rank)
    assert len(likely.among) == 1000 and likely.top == 10 and likely.least == 0.01
    assert every == replace(likely, least=0.0)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_is_measured(
    look: str, question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every picture is answered; what is written has tokens, and a ranking none."""
    few = tmp_path / "nouns.txt"
    few.write_text("cat\ndog\n")
    monkeypatch.setattr("benchmarks.comparison.looks.NOUNS", few)
    # For this process would keep them.
    monkeypatch.setattr("benchmarks.comparison.alone.cores", torch.get_num_threads)
    measured = measure_asked(question, asks(look, question.checkpoint))
    assert measured.images_per_second and measured.images_per_second > 0
    assert (measured.new_tokens is None) == (look != THREE)


def test_a_looks_time_is_told_in_that_of_captions(question: Question) -> None:
    """Round by round, so that what slows one round down slows both; only where looks are asked."""
    paces = {"replica": [4.0, 2.0, 8.0], "plain": [1.0] * 3, THREE: [2.0, 1.6, 2.0]}

    def ask(name: str, question: Question) -> list[dict[str, Any]]:
        if name == "batches":
            return [asdict(Tried(2, 1.0, 10**6))]
        if name == "limit":
            return [{"fp32": 1e11, "bf16": 4e11, "bandwidth": 2e10}]
        return [asdict(Measurement(paces[name].pop(0), None, 3.0, 1.0, 5 * 10**8, 6.0))]

    comparison = compare(question, ["replica", "plain", THREE], 3, lambda line: None, ask)
    record = records(comparison, "a machine", "run")
    captions, plain, three = record["systems"]
    assert three["times_captions"] == {"median": 2.0, "least": 1.25, "most": 4.0}
    assert captions["times_captions"] is plain["times_captions"] is three["share_of_limit"] is None
    assert "| × the time of captions |" in tables(record)
    (row,) = (line for line in tables(record).splitlines() if line.startswith("| three"))
    assert row.endswith(" | – | 2.00 (1.25 to 4.00) |") and LOOKS[THREE] in row
    assert row.split(" | ")[3] == "–", "other work than plain's is compared with it"
    assert "time of captions" not in tables(record | {"systems": [captions, plain]})
