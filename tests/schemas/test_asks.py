"""What is asked of the model is refused where it makes no sense."""

from typing import Any

import pytest

from schemas.asks import Prompt, Rank, Write
from schemas.outcome import UsageError

PROMPT = Prompt("<ImageHere> what is this?")


@pytest.mark.parametrize("separator", ["", ",", "\n", "|"])
def test_what_can_be_written(separator: str) -> None:
    """A token is enough, with one sign to separate parts or none."""
    assert Write(PROMPT, 1, separator).separator == separator


@pytest.mark.parametrize("separator", [", ", "·", "##"])
def test_a_separator_is_one_ascii_sign(separator: str) -> None:
    """Others may be split among tokens, and are refused."""
    with pytest.raises(UsageError, match="one ASCII sign"):
        Write(PROMPT, 5, separator)


@pytest.mark.parametrize("tokens", [0, -3])
def test_something_is_written(tokens: int) -> None:
    """An answer of no tokens is none."""
    with pytest.raises(UsageError, match="at least 1"):
        Write(PROMPT, tokens)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"among": ("cat", "dog", "cat")}, "'cat' is no answer to rank"),
        ({"among": ("cat", "")}, "'' is no answer to rank"),
        ({"top": 0}, "at least 1"),
        ({"least": -0.1}, "0 to 1"),
        ({"least": 1.1}, "0 to 1"),
        ({"least": float("nan")}, "0 to 1"),
    ],
)
def test_what_cannot_be_ranked(changed: dict[str, Any], said: str) -> None:
    """Doubled or empty answers, none of them wanted, and no probability: each is named."""
    assert Rank(PROMPT, ())
    assert Rank(PROMPT, ("cat", "dog"), top=1, least=1, ends=("", "#"))
    with pytest.raises(UsageError, match=said):
        Rank(PROMPT, **{"among": ("cat", "dog"), **changed})
