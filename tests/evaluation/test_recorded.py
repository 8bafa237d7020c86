"""The authors' rules, case by case, as their two scripts were recorded (eval_cases.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.image import ImageRef
from tests.pictures import write_pictures
from workers.evaluation.answers import published_answer
from workers.evaluation.scores import AS_PUBLISHED
from workers.evaluation.suites import SUITES, Asking, hm
from workers.model.description import checkpoint_folder, describe
from workers.model.prompts import HUMAN_TEMPLATE
from workers.tasks import TASKS
from workers.texts.columns import ColumnTexts

CASES = json.loads(Path(__file__).with_name("eval_cases.json").read_text("utf-8"))
ROOT, SCRIPTS = "eval_vqa.py", "eval_scripts/eval_vqa.py"
BOTH = pytest.mark.parametrize("script", [ROOT, SCRIPTS])
PAPER = ("gqa", "vizwiz", "hm", "vsr", "iconqa")


def recorded(script: str, suite: str) -> dict[str, Any]:
    """The script's run over one suite."""
    case: dict[str, Any] = CASES[f"{script}:{'iconvqa' if suite == 'iconqa' else suite}"]
    return case


def raw_answers(case: dict[str, Any]) -> list[str]:
    return [answer for call in case["calls"] for answer in call["returns"]]


def told(case: dict[str, Any]) -> float:
    """The accuracy that the script printed last, 0 to 1."""
    return float(case["stdout"][-1].split()[-1]) / 100


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Writes a case's annotations and pictures, and reads them as the suite does."""

    def items(suite: str, case: dict[str, Any]) -> list[Any]:
        [picture] = write_pictures(tmp_path, 1)
        for entry in case["annotation"]:
            name = entry.get("img") or entry.get("image") or f"{entry['image_id']}/image.png"
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(picture.read_bytes())
        annotations = tmp_path / "annotations.json"
        if suite in ("hm", "vsr"):
            annotations.write_text("\n".join(map(json.dumps, case["annotation"])))
        else:
            annotations.write_text(json.dumps(case["annotation"]))
        return SUITES[suite].read(annotations, tmp_path)

    return items


@BOTH
@pytest.mark.parametrize("suite", PAPER)
def test_questions_are_the_authors(suite: str, script: str, read: Any) -> None:
    """In the template of the authors' evaluation each task of a suite asks what their scripts did,
    the text on its way through the item's columns and the task's quoting.
    """
    case = recorded(script, suite)
    asking = Asking(describe(checkpoint_folder("pocket")), HUMAN_TEMPLATE)
    finder = ColumnTexts("text")
    for spec in SUITES[suite].tasks(asking):
        task = TASKS[spec.name](**spec.options)
        asked = []
        for item in read(suite, case):
            columns = json.dumps(item.columns())
            prompt = task.ask(finder.find(ImageRef("", "", "", None, columns=columns), None)).prompt
            asked.append(prompt.template.replace("{text}", prompt.text))
        assert asked == [text for call in case["calls"] for text in call["texts"]]


@BOTH
@pytest.mark.parametrize("suite", ["gqa", "vizwiz", "vsr"])
def test_answers_are_counted_as_published(suite: str, script: str, read: Any) -> None:
    """The accuracy is the one that the script printed; of VSR each script has a rule of its own."""
    case = recorded(script, suite)
    scores = {s.rule: s for s in SUITES[suite].score(read(suite, case), raw_answers(case))}
    rule = f"{AS_PUBLISHED}, eval_scripts" if (suite, script) == ("vsr", SCRIPTS) else AS_PUBLISHED
    assert scores[rule].figures[0].value == pytest.approx(told(case), abs=1e-12)


@BOTH
def test_memes_are_judged_as_published(script: str, read: Any) -> None:
    """Each prediction is the one that the script saved, and so is the accuracy."""
    case = recorded(script, "hm")
    saved = case["saved"]["hm.json"]
    assert [hm.published_prediction(raw) for raw in raw_answers(case)] == [s["pred"] for s in saved]
    answers = [hm.MemeAnswer(raw, 0.5, 0.5) for raw in raw_answers(case)]
    published, _ = SUITES["hm"].score(read("hm", case), answers)
    assert published.points == tuple(float(s["pred"] == s["gt"]) for s in saved)
    assert published.figures[0].value == told(case)


def test_choices_are_ranked_as_published(read: Any) -> None:
    """The working script's accuracy; the other one raises, so there is nothing to be equal to."""
    assert recorded(ROOT, "iconqa")["error"].startswith("TypeError")
    case = recorded(SCRIPTS, "iconqa")
    items = read("iconqa", case)
    losses = []
    for item, call in zip(items, case["calls"], strict=True):
        assert [[choice] for choice in item.published_choices] == call["answers"]
        [order] = call["returns"]
        losses.append({item.choices[c]: float(place) for place, c in enumerate(order)})
    assert SUITES["iconqa"].score(items, losses)[0].figures[0].value == told(case)


def test_answers_are_cut_as_published() -> None:
    """What the scripts take as the answer of a run-on text ends at ### and begins at Assistant:"""
    runs = ["coke###Human: more", "Assistant: z", "###x", "no###Assistant: yes"]
    assert [published_answer(raw) for raw in runs] == ["coke", "z", "", "no"]


def test_an_answer_that_failed_is_wrong(read: Any) -> None:
    """No answer at all earns nothing by any rule, unlike an empty one, which the authors count."""
    for suite in PAPER:
        items = read(suite, recorded(ROOT, suite))
        for score in SUITES[suite].score(items, [None] * len(items)):
            assert not any(score.points)
    items = read("vizwiz", recorded(ROOT, "vizwiz"))
    published, strict = SUITES["vizwiz"].score(items, [""] * len(items))
    assert published.points == tuple(min(len(item.answers) / 3, 1.0) for item in items)
    assert not any(strict.points)
