"""A row of a part as people see it: its picture, its answers, and what else INPUT said of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.rows import PassedColumn, passed_name
from workers.report.pictures import Picture
from workers.tasks import Exhibit, Task

LONGEST = 300
"""Characters of a text on the page."""
MOST_WORDS = 6
"""Of an image's list."""
MOST_PASSED = 8
"""Columns of INPUT."""
ITEM = ("item_id", "uri", "width", "height")
FAILED_COLUMNS = ("item_id", "uri", "error_message")


@dataclass(frozen=True, slots=True)
class Answer:
    """A task's answer to one image. What is empty, or None, the task does not tell."""

    title: str
    text: str = ""
    words: tuple[tuple[str, float], ...] = ()
    more_words: int = 0
    score: float | None = None
    verdict: bool | None = None
    threshold: float | None = None
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A labelled image."""

    item_id: str
    name: str
    picture: Picture
    size: str
    """`640 × 480`."""
    answers: tuple[Answer, ...]
    passed: tuple[tuple[str, str], ...]
    """Columns of INPUT and what they say."""
    veiled: bool
    """Whether its picture, and the text with it, is only for those who ask to see it."""


@dataclass(frozen=True, slots=True)
class FailedCard:
    """An image without labels."""

    item_id: str
    name: str
    picture: Picture
    message: str


def card_columns(tasks: Sequence[Task], passed: Sequence[PassedColumn]) -> list[str]:
    """What `card_of` looks at."""
    own = [column.name for task in tasks for column in task.fields]
    return [*ITEM, *own, *passed_names(tasks, passed)]


def passed_names(tasks: Sequence[Task], passed: Sequence[PassedColumn]) -> list[str]:
    """The columns of INPUT that are shown, as rows call them."""
    schemas = [task.schema for task in tasks]
    return [passed_name(column.name, schemas) for column in passed[:MOST_PASSED]]


def card_of(
    row: Mapping[str, Any], picture: Picture, tasks: Sequence[Task], passed: Sequence[str]
) -> Card:
    """The labelled `row`, which has the columns of `card_columns`; `passed` are those of INPUT."""
    exhibits = [task.exhibit for task in tasks]
    return Card(
        item_id=shortened(row["item_id"]),
        name=name_of(row["item_id"]),
        picture=picture,
        size=f"{row['width']:,} × {row['height']:,}",
        answers=tuple(answer_of(task, row) for task in tasks),
        passed=tuple(
            (shortened(name), shortened(str(row[name])))
            for name in passed
            if row[name] not in (None, "")
        ),
        veiled=any(one.sensitive and one.verdict and row[one.verdict] for one in exhibits),
    )


def failed_card_of(row: Mapping[str, Any], picture: Picture) -> FailedCard:
    """The failed `row`, which has the columns FAILED_COLUMNS."""
    name, message = name_of(row["item_id"]), shortened(row["error_message"] or "")
    return FailedCard(shortened(row["item_id"]), name, picture, message)


def answer_of(task: Task, row: Mapping[str, Any]) -> Answer:
    """What `task` says of the image in `row`."""
    show = task.exhibit
    if show == Exhibit():
        return Answer(task.title, shortened(task.shown(row)))
    words = [tuple(one.values()) for one in row[show.words]] if show.words else []
    return Answer(
        title=show.text or show.words or show.verdict or show.score,
        text=shortened(row[show.text]) if show.text else "",
        words=tuple((shortened(word), score) for word, score in words[:MOST_WORDS]),
        more_words=max(len(words) - MOST_WORDS, 0),
        score=row[show.score] if show.score else None,
        verdict=row[show.verdict] if show.verdict else None,
        threshold=show.threshold,
        beside=shortened(row[show.beside]) if show.beside else "",
    )


def shortened(text: str) -> str:
    """`text`, its end left out where it is long, `visible`."""
    return visible(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def visible(text: str) -> str:
    """`text` without signs that steer what is shown."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(sign) else sign for sign in text)


def name_of(item_id: str) -> str:
    """The last part of an item's name, and all that follows a `#`."""
    place, mark, inside = item_id.partition("#")
    return shortened(place.rstrip("/").rpartition("/")[2] + mark + inside)


def in_reading_order(tasks: Sequence[Task]) -> list[Task]:
    """Texts first, and of these the user's own questions last."""
    return sorted(tasks, key=lambda task: (not task.exhibit.text, task.everywhere))


def _steers(sign: str) -> bool:
    """Control characters, which HTML lacks, and those that turn the direction of what follows."""
    if sign in "\n\t":
        return False
    return unicodedata.category(sign) == "Cc" or unicodedata.bidirectional(sign) in _TURNING


_TURNING = frozenset("LRE RLE LRO RLO PDF LRI RLI FSI PDI".split())
