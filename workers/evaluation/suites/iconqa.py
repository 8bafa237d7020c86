"""IconQA: a question about a drawing, and which of the given choices answers it (SPEC.md §8).

The choices are ranked by their mean loss a token, the end of the answer included (§6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.evaluation.annotations import Entry, read_entries
from workers.evaluation.scores import AS_PUBLISHED, STRICT, Score, mean
from workers.evaluation.suites.base import Item

QUESTION = "[vqa] Based on the image, respond to this question with a short answer: {text} "
"""Here alone the authors set a blank before the end of the turn."""

Losses = Mapping[str, float]
"""By choice; what cannot be ranked is not among them."""


@dataclass(frozen=True)
class Choice(Item):
    choices: tuple[str, ...]
    answer: int
    """The place of the right one among them."""

    @property
    def published_choices(self) -> tuple[str, ...]:
        """The authors join the choices with `_` and cut them there: a choice with `_` becomes two,
        and moves those behind it.
        """
        return tuple("_".join(self.choices).split("_"))

    @property
    def ranked(self) -> tuple[str, ...]:
        """All that either rule compares, each once."""
        return tuple(dict.fromkeys(c for c in (*self.choices, *self.published_choices) if c))


class IconQA:
    """A JSON list of `{"image_id", "question", "choices", "answer"}` with pictures at
    `image_id/image.png`, or the dataset's object of `{"split", "ques_type", …}` by number with
    pictures at `split/ques_type/number/image.png`; `answer` counts from 0.

    The authors' root script raises on its first item; the one in eval_scripts/ is reproduced.
    """

    name = "iconqa"
    column = "IconVQ"

    def read(self, annotations: Path, images: Path) -> list[Choice]:
        return [_choice(entry, images) for entry in read_entries(annotations)]

    def score(self, items: Sequence[Choice], answers: Sequence[Losses | None]) -> list[Score]:
        pairs = list(zip(items, answers, strict=True))
        published = tuple(
            float(losses is not None and published_right(item, losses)) for item, losses in pairs
        )
        strict = tuple(
            float(losses is not None and strictly_right(item, losses)) for item, losses in pairs
        )
        return [
            Score(AS_PUBLISHED, (mean("accuracy", published),), published),
            Score(STRICT, (mean("accuracy", strict),), strict),
        ]


def published_right(item: Choice, losses: Losses) -> bool:
    """The first choice of least loss stands where the right one does."""
    found = [losses.get(choice, math.inf) for choice in item.published_choices]
    return found.index(min(found)) == item.answer


def strictly_right(item: Choice, losses: Losses) -> bool:
    """Every other choice, uncut, has a greater loss than the right one."""
    right = losses[item.choices[item.answer]]
    others = (c for place, c in enumerate(item.choices) if place != item.answer)
    return all(right < losses[other] for other in others)


def _choice(entry: Entry, images: Path) -> Choice:
    if entry.key:
        folder = Path(entry.text("split"), entry.text("ques_type"), entry.key)
    else:
        folder = Path(entry.text("image_id"))
    choices = entry.texts("choices")
    return Choice(
        entry.picture(images / folder / "image.png"),
        entry.text("question"),
        choices,
        entry.integer("answer", below=len(choices)),
    )
