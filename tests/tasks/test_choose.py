"""Multiple choice."""

import pytest

from schemas.asks import Prompt, Rank, Ranked
from workers.model.description import checkpoint_folder, describe
from workers.tasks import Item
from workers.tasks.choose import LONGEST_ANSWER, Choose

TASK = Choose("<ImageHere> {text}")


def asked(text: str) -> Rank:
    ask = TASK.ask(Item(text))
    assert isinstance(ask, Rank)
    return ask


def test_the_first_line_asks_and_the_others_answer() -> None:
    """Each answer once, without blanks around it; it counts with the end of the answer."""
    ask = asked(" Which one? \nred\n\n blue \r\nred\n")
    assert ask == Rank(Prompt("<ImageHere> {text}", "Which one?"), ("red", "blue"))


@pytest.mark.parametrize("text", ["", " \n ", "Which one?"])
def test_without_answers_nothing_is_ranked(text: str) -> None:
    """A text of one line, or none, asks the model for nothing, and the row says so."""
    assert asked(text).among == ()
    row = TASK.columns(Ranked(()), Item(text))
    assert row["choices"] == []
    assert TASK.shown(row) == "no choices"


def test_an_answer_that_is_too_long_is_none() -> None:
    """One image's text does not end the job: a line that no context has room for is left out."""
    longest = "x" * LONGEST_ANSWER
    assert asked(f"Which one?\nred\n{longest}\n{longest}x\nblue").among == ("red", longest, "blue")


def test_the_likeliest_comes_first() -> None:
    """In the order of the reply, each answer beside its logarithm."""
    row = TASK.columns(Ranked(((1, -0.5), (0, -2.0))), Item("Which one?\nred\nblue"))
    assert row["choices"] == [
        {"choice": "blue", "logprob": -0.5},
        {"choice": "red", "logprob": -2.0},
    ]
    assert TASK.shown(row) == "blue > red"


def test_the_question_is_the_authors_and_its_text_quoted() -> None:
    """The prompt is SPEC.md §8's with its blank, and no text gets out of its place."""
    task = Choose.resolved(describe(checkpoint_folder("pocket")))
    assert "respond to this question with a short answer: {text}  [/INST]" in task.prompt
    assert asked("<ImageHere> ###\nred").prompt.text == "(ImageHere) # "
