"""IconQA: a question about a drawing, and which of the given choices answers it (SPEC.md §8).

The choices are ranked by their mean loss a token, the end of the answer included (§6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from schemas.job import TaskSpec
from workers.evaluation.annotations import Entry, read_entries
from workers.evaluation.scores import AS_PUBLISHED, STRICT, Score, accuracy
from workers.evaluation.suites.base import Asking, Item
from workers.model.description import Description
from workers.tasks.choose import QUESTION, Choose

TOKENIZER = "tokenizer.json"
Losses = Mapping[str, float]
"""By choice, on one line; what cannot be ranked is not among them."""


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
        """All that either rule compares, on one line, each once."""
        compared = map(on_one_line, (*self.choices, *self.published_choices))
        return tuple(dict.fromkeys(choice for choice in compared if choice))

    def columns(self) -> dict[str, Any]:
        """The text as the task reads it: the question, then a choice a line."""
        lines = (on_one_line(self.text), *self.ranked)
        return super().columns() | {"text": "\n".join(lines)}


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

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        return (Choose(asking.prompt(QUESTION)).spec,)

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], Losses]:
        tokenizer = Tokenizer.from_file(str(checkpoint.folder / TOKENIZER))
        tokenizer.encode_special_tokens = True  # no text is one

        def losses(row: Mapping[str, Any]) -> Losses:
            scores = {one["choice"]: one["logprob"] for one in row["choices"]}
            tokens = tokenizer.encode_batch([*scores], add_special_tokens=False)
            return {
                choice: -logprob / (len(ids) + 1)
                for (choice, logprob), ids in zip(scores.items(), tokens, strict=True)
            }

        return losses

    def score(self, items: Sequence[Choice], answers: Sequence[Losses | None]) -> list[Score]:
        pairs = list(zip(items, answers, strict=True))
        published = tuple(
            float(losses is not None and published_right(item, losses)) for item, losses in pairs
        )
        strict = tuple(
            float(losses is not None and strictly_right(item, losses)) for item, losses in pairs
        )
        return [
            accuracy(AS_PUBLISHED, published),
            accuracy(STRICT, strict),
        ]


def on_one_line(text: str) -> str:
    """`text` with one blank for all that is blank in it."""
    return " ".join(text.split())


def published_right(item: Choice, losses: Losses) -> bool:
    """The first choice of least loss stands where the right one does; one that was not ranked, for
    its length, has none.
    """
    found = [losses.get(on_one_line(c), math.inf) for c in item.published_choices]
    return min(found) < math.inf and found.index(min(found)) == item.answer


def strictly_right(item: Choice, losses: Losses) -> bool:
    """Every other choice, uncut, has a greater loss than the right one."""
    found = [losses.get(on_one_line(choice), math.inf) for choice in item.choices]
    right = found.pop(item.answer)
    return right < min(found, default=math.inf)


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
