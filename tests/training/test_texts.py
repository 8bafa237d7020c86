"""What is said about a picture."""

import random
from collections import Counter

import pytest

from workers.tasks.tags import LIST_QUESTION, ONE_QUESTION
from workers.training.texts import (
    Subject,
    caption,
    exchange,
    tag_exchange,
    tags,
    with_article,
)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("red apple", "a red apple"),
        ("umbrella", "an umbrella"),
        ("scissors", "scissors"),
        ("cherries", "cherries"),
        ("glass", "a glass"),
        ("octopus", "an octopus"),
        ("bread", "bread"),
        ("two hearts", "two hearts"),
        ("2nd place medal", "2nd place medal"),
    ],
)
def test_articles(name: str, said: str) -> None:
    """A countable name gets its article, a plural and a mass noun do not."""
    assert with_article(name) == said


def test_a_photo_is_called_one() -> None:
    """Only photographs are called photos."""
    assert caption(Subject("frog", photo=True)) == "a photo of a frog"
    assert caption(Subject("frog")) == "a frog"


def test_tags_begin_with_the_name_and_repeat_nothing() -> None:
    """The name is the first tag; no tag comes twice; there are at most six."""
    subject = Subject("red apple", ("fruit", "red apple", "food", "a", "b", "c", "d"))
    listed = tags(subject).split(", ")
    assert listed[0] == "red apple"
    assert len(listed) == len(set(listed)) == 6


def test_one_tag_is_drawn_evenly() -> None:
    """Asked for one thing, each tag of the list is as likely as another, the name among them."""
    subject = Subject("red apple", ("fruit", "food", "red apple"))
    dice = random.Random(0)
    drawn = Counter(tag_exchange(subject, dice) for _ in range(3000))
    assert drawn.pop((LIST_QUESTION, "red apple, fruit, food")) > 1750
    assert {asked for asked, _ in drawn} == {ONE_QUESTION}
    assert {answer for _, answer in drawn} == {"red apple", "fruit", "food"}
    assert max(drawn.values()) < 1.2 * min(drawn.values())


def test_answers_are_true() -> None:
    """A yes-or-no question is answered yes just when it names what the picture shows."""
    apple, pear = Subject("apple"), Subject("pear")
    dice = random.Random(0)
    seen = set()
    for _ in range(500):
        question, answer = exchange(apple, [apple, pear], dice)
        if answer in ("yes", "true"):
            assert "apple" in question
        if answer in ("no", "false"):
            assert "pear" in question
        seen.add(answer)
    assert {"yes", "no", "true", "false", "a drawing", "apple"} <= seen
