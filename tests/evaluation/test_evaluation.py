"""An evaluation without its job: what is asked, and what rows say of it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from schemas.asks import Prompt, Rank
from schemas.outcome import CheckpointError, UsageError
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.pictures import picture
from workers.evaluation.evaluation import Evaluation
from workers.evaluation.suites import SUITES, Asking
from workers.evaluation.suites.hm import Meme
from workers.evaluation.suites.iconqa import Choice
from workers.model.calibration import (
    CALIBRATION,
    Calibration,
    read_calibration,
    write_calibration,
)
from workers.model.description import Description, checkpoint_folder, describe
from workers.tasks import Item
from workers.tasks.choose import Choose
from workers.tasks.hateful import Hateful

QUITE_SURE = (0.99, 0.97, 0.95, 0.03, 0.02)
HATEFUL = (True, True, False, False, True)


@pytest.fixture
def mine(tmp_path: Path) -> Description:
    """A copy of the shipped checkpoint without its calibration, to be calibrated."""
    without = shutil.ignore_patterns(CALIBRATION)
    shutil.copytree(checkpoint_folder("pocket"), tmp_path / "mine", ignore=without)
    return describe(tmp_path / "mine")


def evaluation(checkpoint: Description, folder: Path, fit: bool) -> Evaluation:
    (folder / "dev.jsonl").write_text("the memes")
    memes = [Meme(Path("x.png"), "text", hateful) for hateful in HATEFUL]
    asking = Asking(checkpoint, checkpoint.generation.prompt_template)
    return Evaluation("hm", folder / "dev.jsonl", memes, asking, fit)


def rows() -> list[Mapping[str, Any]]:
    return [{"answer": "yes", "hateful_raw": raw} for raw in QUITE_SURE]


def test_a_fit_is_kept_with_the_checkpoint_and_used(mine: Description, tmp_path: Path) -> None:
    """Overconfident answers get a temperature above 1; a job that is planned afterwards has it, and
    later evaluations show it without looking at a picture again.
    """
    asked = evaluation(mine, tmp_path, fit=True)
    fitted = asked.outcome([*rows()[:4], None], "int8")
    kept = read_calibration(mine.folder, mine.manifest.digest)
    assert fitted.calibration == kept
    fit = kept.hateful
    assert fit is not None
    assert fit.temperature > 1
    assert fit.loss_after < fit.loss_before
    assert (fit.items, fit.quantization, fit.annotations) == (4, "int8", "dev.jsonl")
    task = Hateful.resolved(mine)
    assert (task.temperature, task.prompt) == (fit.temperature, fit.prompt)
    later = evaluation(mine, tmp_path, fit=False)
    assert later.tasks() == asked.tasks()
    answers = later.outcome(rows(), "none").answers
    for answer, raw in zip(answers, QUITE_SURE, strict=True):
        assert answer.raw == raw
        odds = np.log(raw / (1 - raw)) / fit.temperature
        assert answer.calibrated == pytest.approx(1 / (1 + np.exp(-odds)))


def test_what_flatters_is_told(mine: Description, tmp_path: Path) -> None:
    """Whether nothing is calibrated, or by these memes, or by others, stands below the figures."""
    asked = evaluation(mine, tmp_path, fit=False)
    assert "Nothing is calibrated yet" in asked.outcome(rows(), "none").text("pocket")
    told = evaluation(mine, tmp_path, fit=True).outcome(rows(), "none").text("pocket")
    assert "fitted to these very memes" in told
    (tmp_path / "dev.jsonl").write_text("other memes")
    told = asked.outcome(rows(), "none").text("pocket")
    assert "fitted to dev.jsonl." in told
    assert told.count("    said") == 2
    assert told.splitlines()[-1].split()[:3] == ["pocket", "measured,", "strict"]


def test_what_cannot_be_calibrated_is_told_first(mine: Description, tmp_path: Path) -> None:
    """Memes of one kind, and a calibration of another model, unless it is to be replaced."""
    write_calibration(mine.folder, Calibration("0" * 64))
    asked = evaluation(mine, tmp_path, fit=True)
    asked.require()
    with pytest.raises(CheckpointError, match="another model"):
        evaluation(mine, tmp_path, fit=False).require()
    one_kind = Evaluation("hm", asked.annotations, asked.items[:2], asked.asking, fit=True)
    with pytest.raises(UsageError, match="both kinds"):
        one_kind.require()


def test_certain_answers_are_calibrated_too(mine: Description, tmp_path: Path) -> None:
    """Probabilities of just 0 and 1 have log-odds that can be divided."""
    sure = [{"answer": "no", "hateful_raw": raw} for raw in (1.0, 1.0, 1.0, 0.0, 0.0)]
    outcome = evaluation(mine, tmp_path, fit=True).outcome(sure, "none")
    assert 0.5 < outcome.answers[0].calibrated < 1


def test_records_are_json(mine: Description, tmp_path: Path) -> None:
    """Scores with their intervals, and each item with its answer and what it earned."""
    outcome = evaluation(mine, tmp_path, fit=False).outcome([*rows()[:4], None], "none")
    record = json.loads(json.dumps(outcome.record()))
    assert record["scores"]["as published"]["accuracy"]["value"] == 0.4
    assert record["temperature"] is None
    first, *_, failed = record["answers"]
    assert first == {
        "item": {"image": "x.png", "text": "text", "hateful": True},
        "answer": {"written": "yes", "raw": 0.99, "calibrated": 0.99},
        "points": {"as published": 1.0, "strict": 1.0},
    }
    assert failed["answer"] is None


def test_rows_are_read_as_their_tasks_write_them(mine: Description) -> None:
    """A caption, the tags in their order, an answer in words."""
    row = {"caption": "a cat", "answer": "yes", "tags": [{"tag": "cat"}, {"tag": "animal"}]}
    read = {name: SUITES[name].reader(mine)(row) for name in ("caption", "tags", "gqa", "vsr")}
    assert read == {"caption": "a cat", "tags": ("cat", "animal"), "gqa": "yes", "vsr": "yes"}


def test_a_choices_loss_is_the_mean_over_its_tokens(tmp_path: Path) -> None:
    """What the task's row gives the suite is the cross-entropy of the choice's tokens and of the
    answer's end, as the network itself has it (SPEC.md §6).
    """
    checkpoint = describe(save_tiny_checkpoint(tmp_path / "tiny"))
    model = tiny_model()
    item = Choice(Path("x.png"), "Which\none?", ("a dog", "lemon", "two\nlines"), 0)
    asking = Asking(checkpoint, checkpoint.generation.prompt_template)
    (spec,) = SUITES["iconqa"].tasks(asking)
    task, text = Choose(**spec.options), Item(item.columns()["text"])
    ask = task.ask(text)
    assert isinstance(ask, Rank)
    seen = model.encode([Image.open(io.BytesIO(picture(1))).convert("RGB")])
    ((replies,),) = model.reply_all([(seen, [[ask]])])
    losses = SUITES["iconqa"].reader(checkpoint)(task.columns(replies[0], text))
    assert set(losses) == {"a dog", "lemon", "two lines"}
    [end] = model.generation.eos_token_ids
    prompt = ask.prompt.template.replace("{text}", "Which one?")
    before, after = (model.token_ids(piece) for piece in prompt.split("<ImageHere>"))
    for choice, loss in losses.items():
        answer = [*model.token_ids(choice), end]
        ids = [torch.tensor(some) for some in (before, [*after, *answer])]
        embeds = torch.cat([model.embed(ids[0]), seen.embeds[0], model.embed(ids[1])])[None]
        with torch.inference_mode():
            logits = model.logits(embeds, torch.ones(embeds.shape[:2]))[0, -len(answer) - 1 : -1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(answer))
        assert loss == pytest.approx(float(expected), abs=1e-3)


def test_a_prompt_of_the_task_is_that_of_the_suite(mine: Description) -> None:
    """Moderation and the evaluation ask one question, so that a fit is for what is asked."""
    asking = Asking(mine, mine.generation.prompt_template)
    probability, _ = SUITES["hm"].tasks(asking)
    assert probability.options["prompt"] == Hateful.resolved(mine).prompt
    assert Prompt(Choose.resolved(mine).prompt) == Prompt(
        SUITES["iconqa"].tasks(asking)[0].options["prompt"]
    )
