"""Reading an answer: as the authors' scripts do, and strictly."""

from __future__ import annotations

import re


def published_answer(raw: str) -> str:
    """Of a run-on text what the authors score: up to `###`, behind `Assistant:` (SPEC.md §8)."""
    return raw.split("###")[0].split("Assistant:")[-1].strip()


def words(text: str) -> list[str]:
    """The words in lower case, without what stands between them."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold())


def first_word(answer: str) -> str:
    """ "" where there is no word at all."""
    return next(iter(words(answer)), "")


def says(answer: str, label: str) -> bool:
    """Whether `label` stands in `answer` as whole words that follow each other.

    Where the label is yes or no, the first word decides. A label without a word, some sign, must
    be the whole answer.
    """
    looked_for, found = words(label), words(answer)
    if not looked_for:
        return answer.strip() == label.strip() != ""
    if looked_for in (["yes"], ["no"]):
        return found[:1] == looked_for
    length = len(looked_for)
    return any(
        found[start : start + length] == looked_for for start in range(len(found) - length + 1)
    )
