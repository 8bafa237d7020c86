"""What the runner is asked at one look at a picture, as `jobs/label_bucket.py` asks it.

vocabulary.txt are a thousand common nouns, listed for this comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.comparison.question import EVERY_TAG, THREE, VOCABULARY
from schemas.asks import Ask
from workers.model.description import Description
from workers.tasks import Item, Task
from workers.tasks.caption import Caption
from workers.tasks.hateful import Hateful
from workers.tasks.tags import Tags, read_vocabulary

NOUNS = Path(__file__).parent / "vocabulary.txt"
MEME = "when the meeting could have been an email"
"""A text as long as memes' are."""


def asks(look: str, checkpoint: Description) -> list[Ask]:
    """What each picture is asked; `look` is one of `question.LOOKS`."""
    return [task.ask(Item(MEME, "column:text")) for task in _TASKS[look](checkpoint)]


def _three(checkpoint: Description) -> Sequence[Task]:
    return [one.resolved(checkpoint) for one in (Caption, Tags, Hateful)]


def _vocabulary(checkpoint: Description) -> Sequence[Task]:
    return [Tags.resolved(checkpoint, read_vocabulary(str(NOUNS)))]


def _every_tag(checkpoint: Description) -> Sequence[Task]:
    return [Tags.resolved(checkpoint, read_vocabulary(str(NOUNS)), threshold=0)]


_TASKS: dict[str, Callable[[Description], Sequence[Task]]] = {
    THREE: _three,
    VOCABULARY: _vocabulary,
    EVERY_TAG: _every_tag,
}
