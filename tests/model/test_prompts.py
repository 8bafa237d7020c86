"""Templates, and what of an answer is the answer."""

import pytest

from workers.model.prompts import clean_answer


@pytest.mark.parametrize(
    ("answer", "cleaned"),
    [
        ("a red apple", "a red apple"),
        (" a red apple\n", "a red apple"),
        ("a red apple###Human: and now?", "a red apple"),
        ("a red apple</s><s>[INST] and now?", "a red apple"),
        ("<s> a red apple", "a red apple"),
        ("what is it? [/INST] a red apple", "a red apple"),
        ("what is it? [/INST] this? [/INST] an apple", "an apple"),
        ("Human: what is it? Assistant: a red apple", "a red apple"),
        ("Assistant: no. Assistant: yes", "yes"),
        ("<s>[INST] what? [/INST] a cat</s>", "a cat"),
        ("###", ""),
        ("", ""),
    ],
)
def test_clean_answer(answer: str, cleaned: str) -> None:
    """Every mark of a turn goes, with what is before the answer and what follows it (SPEC §5)."""
    assert clean_answer(answer) == cleaned
