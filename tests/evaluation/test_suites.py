"""Suites: their annotation files, and the strict rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.outcome import UsageError
from workers.evaluation.answers import says
from workers.evaluation.suites import SUITES
from workers.evaluation.suites.caption import NamedImage
from workers.evaluation.suites.gqa import Question
from workers.evaluation.suites.hm import Meme, MemeAnswer
from workers.evaluation.suites.iconqa import Choice
from workers.evaluation.suites.tags import TaggedImage, precision, recall
from workers.evaluation.suites.vizwiz import Question as AnsweredQuestion
from workers.evaluation.suites.vsr import Statement

ENTRIES: dict[str, dict[str, Any]] = {
    "hm": {"img": "x.png", "text": "some  text", "label": 1},
    "vizwiz": {"image": "x.png", "question": "What?", "answers": [{"answer": "a"}, {"answer": ""}]},
    "gqa": {"image": "x.png", "question": "What?", "answer": "a"},
    "vsr": {"image": "x.png", "caption": "The cat sits.", "label": 0},
    "iconqa": {"image_id": "7", "question": "Which?", "choices": ["a", "b"], "answer": 1},
    "caption": {"image": "x.png", "names": ["cat", "kitten"]},
    "tags": {"image": "x.png", "tags": ["cat", "animal"]},
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with files where every entry looks; reading annotations opens none."""
    for place in ("x.png", "7/image.png", "test/choose_txt/7/image.png"):
        (tmp_path / "images" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / place).write_bytes(b"")
    return tmp_path / "images"


def read(suite: str, images: Path, content: object) -> list[Any]:
    annotations = images.parent / "annotations.json"
    text = content if isinstance(content, str) else json.dumps(content)
    annotations.write_text(text, encoding="utf-8")
    return SUITES[suite].read(annotations, images)


def test_every_form_is_read(images: Path) -> None:
    """What an entry holds is what the item says; a meme's text keeps its blanks."""
    x = images / "x.png"
    assert {suite: read(suite, images, [entry]) for suite, entry in ENTRIES.items()} == {
        "hm": [Meme(x, "some  text", True)],
        "vizwiz": [AnsweredQuestion(x, "What?", ("a", ""))],
        "gqa": [Question(x, "What?", "a")],
        "vsr": [Statement(x, "The cat sits.", False)],
        "iconqa": [Choice(images / "7" / "image.png", "Which?", ("a", "b"), 1)],
        "caption": [NamedImage(x, "", ("cat", "kitten"))],
        "tags": [TaggedImage(x, "", ("cat", "animal"))],
    }


@pytest.mark.parametrize("suite", ENTRIES)
def test_lists_and_lines_are_the_same(suite: str, images: Path) -> None:
    """JSON lines, also with empty ones between and a mark in front, hold what a list holds."""
    entry = json.dumps(ENTRIES[suite])
    lines = read(suite, images, f"\ufeff{entry}\n\n{entry}\r\n")
    assert lines == read(suite, images, f"[{entry}, {entry}]")
    assert len(read(suite, images, entry)) == 1


def test_a_line_separator_in_a_text_ends_no_line(images: Path) -> None:
    """U+2028 stands unescaped in what other programs write."""
    [item] = read(
        "hm", images, json.dumps(ENTRIES["hm"] | {"text": "a\u2028b"}, ensure_ascii=False)
    )
    assert item.text == "a\u2028b"


def test_iconqa_is_read_as_the_dataset_has_it(images: Path) -> None:
    """An object of entries by number, the pictures in folders by split and kind of question."""
    entry = {"split": "test", "ques_type": "choose_txt", "grade": "prek"} | ENTRIES["iconqa"]
    [item] = read("iconqa", images, {"7": entry})
    assert item.image == images / "test" / "choose_txt" / "7" / "image.png"


def test_photos_of_vsr_are_looked_for_where_coco_has_them(images: Path) -> None:
    """train2017 comes before val2017, and that before the folder itself."""
    for folder in ("val2017", "train2017"):
        (images / folder).mkdir()
        (images / folder / "x.png").write_bytes(b"")
        [item] = read("vsr", images, [ENTRIES["vsr"]])
        assert item.image == images / folder / "x.png"


@pytest.mark.parametrize("suite", ENTRIES)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no picture"),
        ("[]", "holds no picture"),
        ("not json", "line 1 is no JSON"),
        ('[{"image": ', "is no JSON list"),
        ("3", "line 1 is no JSON object"),
        ('["text"]', "entry 1 is no JSON object"),
    ],
)
def test_files_of_another_form_are_refused(
    suite: str, content: str, said: str, images: Path
) -> None:
    """What is no list of entries is one sentence that names the file and the place."""
    with pytest.raises(UsageError, match=said):
        read(suite, images, content)


@pytest.mark.parametrize(
    ("suite", "field", "value", "said"),
    [
        ("hm", "text", None, "'text' must be a text"),
        ("hm", "label", 2, "'label' must be a whole number, 0 to 1"),
        ("hm", "label", True, "'label' must be a whole number"),
        ("vsr", "label", "1", "'label' must be a whole number"),
        ("vsr", "caption", " ", "'caption' is empty"),
        ("gqa", "answer", ["a"], "'answer' must be a text"),
        ("vizwiz", "answers", [], "'answers' must be a list"),
        ("vizwiz", "answers", ["a"], "'answers' must be a list"),
        ("vizwiz", "answers", [{"answer": 1}], "'answers' must be a list"),
        ("iconqa", "choices", None, "'choices' must be a list"),
        ("iconqa", "answer", 2, "'answer' must be a whole number, 0 to 1"),
        ("caption", "names", "cat", "'names' must be a list"),
        ("caption", "names", ["cat", " "], "'names' holds"),
        ("tags", "tags", [1], "'tags' holds"),
        ("gqa", "image", "gone.png", "there is no picture .*gone.png"),
        ("vsr", "image", "gone.png", "there is no picture .*train2017/gone.png or .*val2017"),
    ],
)
def test_wrong_entries_are_named(
    suite: str, field: str, value: object, said: str, images: Path
) -> None:
    """What is wrong with an entry is one sentence that names its line and its field."""
    lines = [json.dumps(ENTRIES[suite]), json.dumps(ENTRIES[suite] | {field: value})]
    with pytest.raises(UsageError, match=rf"annotations\.json, line 2: {said}"):
        read(suite, images, "\n".join(lines))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """An annotation file that is not there is one sentence."""
    with pytest.raises(UsageError, match=r"cannot read .*nothing"):
        SUITES["hm"].read(tmp_path / "nothing.jsonl", tmp_path)


@pytest.mark.parametrize(
    ("answer", "label", "right"),
    [
        ("a Red apple.", "red apple", True),
        ("redapple", "red", False),
        ("i do not know", "no", False),
        ("no", "no", True),
        ("No, it is not", "no", True),
        ("well, no", "no", False),
        ("yes and no", "no", False),
        ("nobody", "no", False),
        ("", "table", False),
        ("", "", False),
        ("+", "+", True),
        ("2 + 2", "+", False),
        ("t-shirt", "t shirt", True),
    ],
)
def test_strictly_whole_words_count(answer: str, label: str, right: bool) -> None:
    """A label counts as whole words; yes and no where they come first; nothing is never right."""
    assert says(answer, label) is right


def test_memes_are_judged_strictly() -> None:
    """The first word decides, and a failed item ranks behind all others on the wrong side."""
    x = Path("x.png")
    memes = [Meme(x, "", hateful) for hateful in (True, True, False, False, False)]
    answers = [
        MemeAnswer("Yes!", 0.9, 0.8),
        None,
        MemeAnswer("i know not", 0.1, 0.2),
        MemeAnswer("no", 0.2, 0.3),
        None,
    ]
    _, strict = SUITES["hm"].score(memes, answers)
    assert strict.points == (1.0, 0.0, 0.0, 1.0, 0.0)
    figures = {figure.name: figure.value for figure in strict.figures}
    assert figures["accuracy"] == 0.4
    assert figures["accuracy at 0.5"] == 0.6
    assert figures["AUROC"] == pytest.approx(2 / 6)  # pairs in order
    assert figures["average precision"] == pytest.approx((1 / 2 + 2 / 5) / 2)
    assert figures["calibration error, raw"] == pytest.approx((0.1 + 0.1 + 0.2) / 3)
    assert figures["calibration error, calibrated"] == pytest.approx((0.2 + 0.2 + 0.3) / 3)


def test_memes_of_one_kind_have_no_ranking() -> None:
    """Without a benign meme there is no pair: the figure is not defined, and told as a dash."""
    _, strict = SUITES["hm"].score([Meme(Path("x"), "", True)], [MemeAnswer("yes", 0.9, 0.9)])
    auroc = next(figure for figure in strict.figures if figure.name == "AUROC")
    assert auroc.value is None
    assert str(auroc) == "–"


X = Path("x.png")


@pytest.mark.parametrize(
    ("suite", "item", "answer"),
    [
        ("gqa", Question(X, "", "no"), "I do not know"),
        ("vizwiz", AnsweredQuestion(X, "", ("can", "can", "tin")), ""),
        ("vsr", Statement(X, "", True), "untrue"),
        ("iconqa", Choice(X, "", ("a", "b"), 0), {"a": 1.0, "b": 1.0}),
        ("hm", Meme(X, "", False), MemeAnswer("cannot tell", 0.5, 0.5)),
    ],
)
def test_the_two_scores_are_by_two_rules(suite: str, item: Any, answer: Any) -> None:
    """What is right as published by its letters alone is strictly wrong, in every suite."""
    scores = {score.rule: score.points for score in SUITES[suite].score([item], [answer])}
    assert scores["as published"] == (1.0,)
    assert scores["strict"] == (0.0,)


def test_a_choice_that_was_not_ranked_is_not_right() -> None:
    """Where none has a loss, none is chosen, be it the first or the only one."""
    for choices in (("a" * 200, "b" * 200), ("a" * 200,)):
        item = Choice(X, "", choices, 0)
        assert [score.points for score in SUITES["iconqa"].score([item], [{}])] == [(0.0,)] * 2


def test_an_answer_with_a_mark_is_several_peoples() -> None:
    """The authors cut people's answers at `_`; the strict rule does not."""
    item = AnsweredQuestion(Path("x"), "What?", ("red_red_red",))
    scores = SUITES["vizwiz"].score([item], ["red"])
    assert [score.points for score in scores] == [(1.0,), (0.0,)]


@pytest.mark.parametrize(
    ("choices", "answer", "losses", "published", "strict"),
    [
        (("red", "blue"), 1, {"red": 2.0, "blue": 1.0}, 1.0, 1.0),
        (("red", "blue"), 0, {"red": 1.0, "blue": 1.0}, 1.0, 0.0),
        (("a_b", "c"), 1, {"a_b": 3.0, "a": 2.0, "b": 1.0, "c": 2.5}, 1.0, 1.0),
        (("a_b", "c"), 1, {"a_b": 3.0, "a": 2.0, "b": 2.7, "c": 2.5}, 0.0, 1.0),
        (("_", "c"), 0, {"_": 1.0, "c": 2.0}, 0.0, 1.0),
        (("x", "x"), 0, {"x": 1.0}, 1.0, 0.0),
    ],
)
def test_choices_with_a_mark_are_cut_as_published(
    choices: tuple[str, ...],
    answer: int,
    losses: dict[str, float],
    published: float,
    strict: float,
) -> None:
    """The authors cut choices at `_`; the strict rule does not, and a tie is wrong by it."""
    item = Choice(Path("x"), "Which?", choices, answer)
    assert set(item.ranked) == set(losses)
    scores = SUITES["iconqa"].score([item], [losses])
    assert [score.points for score in scores] == [(published,), (strict,)]


@pytest.mark.parametrize(
    ("right", "given", "at_three", "recalled"),
    [
        ("abc", "abc", 1, 1),
        ("abc", "ab", 2 / 3, 2 / 3),
        ("a", "a", 1, 1),
        ("a", "bca", 1 / 3, 1),
        ("abcde", "fgabc", 1 / 3, 3 / 5),
        ("ab", "", 0, 0),
    ],
)
def test_tags_are_counted_in_their_places(
    right: str, given: str, at_three: float, recalled: float
) -> None:
    """A place left empty is wrong where the picture has more tags, and is none where it has not."""
    assert precision([*right], [*given], 3) == pytest.approx(at_three)
    assert recall([*right], [*given]) == pytest.approx(recalled)


def test_tags_count_once_whatever_their_case() -> None:
    """Articles, case and doubles make no tag another one; a failed item has none."""
    items = [TaggedImage(Path("x"), "", ("red apple", "Fruit"))] * 2
    [score] = SUITES["tags"].score(items, [("A Red Apple", "red apple", "fruit"), None])
    assert {figure.name: figure.value for figure in score.figures} == {
        "precision at 1": 0.5,
        "precision at 3": 0.5,
        "precision at 5": 0.5,
        "recall": 0.5,
    }


def test_captions_are_scored_by_both_rules() -> None:
    """'a cat face' contains the name and is not it; a failed item is neither."""
    items = [NamedImage(Path("x"), "", ("cat",))] * 4
    [score] = SUITES["caption"].score(items, ["a cat", "a cat face", "a caterpillar", None])
    assert [figure.value for figure in score.figures] == [0.25, 0.5]
