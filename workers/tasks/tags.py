"""Tags: what a picture shows, in words with scores; the model's own, or those of a vocabulary.

Its own are a list that it writes: a tag's score is the probability of the list as far as that tag.
Of a vocabulary a tag's score is the probability that it is the whole answer to the question for one
thing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from schemas.asks import Ask, Prompt, Rank, Ranked, Reply, Write, Written
from schemas.outcome import ReadError, UsageError
from schemas.uri import canonical
from workers.model.description import Description
from workers.model.prompts import resolve_prompt
from workers.store import ask, fetch
from workers.tasks.base import Exhibit, Item, Task

LIST_QUESTION = "[tags] List what this image shows."
ONE_QUESTION = "[tags] Name one thing that this image shows."
SEPARATOR = ","
TOP = 10
THRESHOLD = 0.01
MOST_TAGS = 100_000
LARGEST_FILE = 1 << 26
"""Bytes."""
LONGEST_TAG = 100
"""Characters."""

TAG = pa.struct(
    [pa.field("tag", pa.string(), nullable=False), pa.field("score", pa.float32(), nullable=False)]
)


@dataclass(frozen=True)
class Tags(Task):
    """What is in the picture, in words with scores."""

    prompt: str
    max_new_tokens: int
    """Of a list; a vocabulary needs none."""
    vocabulary: tuple[str, ...]
    """Empty: the words are the model's own."""
    top: int
    threshold: float
    """A tag of a lower score is left out; 0 to 1."""

    name = "tags"
    program = "jobs/tag_bucket.py"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))  # JSON has lists

    @classmethod
    def add_flags(cls, parser: argparse._ActionsContainer) -> None:
        parser.add_argument(
            "--tags-file",
            metavar="FILE",
            help="a vocabulary, one tag a line: the likeliest of them (default: the model's own "
            "words)",
        )
        parser.add_argument(
            "--tags-top",
            type=int,
            default=TOP,
            metavar="N",
            help=f"so many tags an image at most (default: {TOP})",
        )
        parser.add_argument(
            "--tags-threshold",
            type=float,
            default=THRESHOLD,
            metavar="P",
            help=f"no tag of a score below this, 0 to 1 (default: {THRESHOLD}); a long vocabulary "
            "takes long at 0",
        )

    @classmethod
    def wishes(cls, given: argparse.Namespace) -> list[dict[str, Any]]:
        file = given.tags_file
        vocabulary = () if file is None else read_vocabulary(file)
        return [
            {"vocabulary": vocabulary, "top": given.tags_top, "threshold": given.tags_threshold}
        ]

    @classmethod
    def resolved(
        cls,
        checkpoint: Description,
        vocabulary: Sequence[str] = (),
        top: int = TOP,
        threshold: float = THRESHOLD,
    ) -> Self:
        if top < 1:
            raise UsageError(f"--tags-top {top}: at least 1")
        if not 0 <= threshold <= 1:
            raise UsageError(f"--tags-threshold {threshold:g}: a probability, 0 to 1")
        generation = checkpoint.generation
        question = ONE_QUESTION if vocabulary else LIST_QUESTION
        prompt = resolve_prompt(question, generation.prompt_template)
        return cls(prompt, generation.max_new_tokens, tuple(vocabulary), top, threshold)

    def flags(self, checkpoint: Description | None) -> list[str]:
        file = ["--tags-file", "FILE"] if self.vocabulary else []
        top = [] if self.top == TOP else ["--tags-top", str(self.top)]
        least = [] if self.threshold == THRESHOLD else ["--tags-threshold", str(self.threshold)]
        return [*file, *top, *least]

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        tags = pa.list_(pa.field("element", TAG, nullable=False))
        return pa.field("tags", tags), pa.field("tags_prompt", pa.string(), nullable=False)

    def ask(self, item: Item) -> Ask:
        return self._ask

    @cached_property  # a vocabulary is not to be looked through for each image
    def _ask(self) -> Ask:
        prompt = Prompt(self.prompt)
        if self.vocabulary:
            return Rank(prompt, self.vocabulary, self.top, self.threshold)
        return Write(prompt, self.max_new_tokens, SEPARATOR)

    def columns(self, reply: Reply | None, item: Item) -> dict[str, Any]:
        tags = None if reply is None else self._tags(reply)
        return {"tags": tags, "tags_prompt": self.prompt}

    def shown(self, row: Mapping[str, Any]) -> str:
        return ", ".join(f"{one['tag']} {one['score']:.2f}" for one in row["tags"]) or "no tags"

    @property
    def exhibit(self) -> Exhibit:
        return Exhibit(words="tags")

    def _tags(self, reply: Reply) -> list[dict[str, Any]]:
        """The best first."""
        scored = self._written(reply) if isinstance(reply, Written) else self._ranked(reply)
        best = [(tag, score) for tag, score in scored if score >= self.threshold]
        return [{"tag": tag, "score": score} for tag, score in best[: self.top]]

    def _ranked(self, reply: Ranked) -> list[tuple[str, float]]:
        return [(self.vocabulary[place], math.exp(logprob)) for place, logprob in reply.scores]

    def _written(self, reply: Written) -> list[tuple[str, float]]:
        """Each word once, where it is said first; one that is cut short is none."""
        parts = reply.parts if reply.whole else reply.parts[:-1]
        scores: dict[str, tuple[str, float]] = {}
        logprob = 0.0
        for part in parts:
            logprob += part.logprob
            if part.text:
                scores.setdefault(part.text.casefold(), (part.text, math.exp(logprob)))
        return list(scores.values())


def read_vocabulary(place: str) -> tuple[str, ...]:
    """The tags in a file, one a line; blank lines are none, and what differs in its case alone is
    the same.

    Raises UsageError where the file cannot be read, is no UTF-8, holds no tag or more than
    MOST_TAGS, or one that is longer than LONGEST_TAG; StoreError.
    """
    if not place.strip():
        raise UsageError("--tags-file is empty: name a file with one tag on each line")
    uri = canonical(place)
    try:
        data = ask(uri, lambda seconds: fetch(uri, seconds=seconds, limit=LARGEST_FILE))
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"--tags-file {place}: there is no such file") from error
    except ReadError as error:  # too large, or no file at all
        raise UsageError(f"--tags-file {place} is no list of tags: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--tags-file {place} is not UTF-8: {error}") from error
    tags = _distinct(line.strip() for line in text.splitlines())
    if not tags:
        raise UsageError(f"--tags-file {place} holds no tag: write one on each line")
    if len(tags) > MOST_TAGS:
        raise UsageError(f"--tags-file {place} holds {len(tags):,} tags; at most {MOST_TAGS:,}")
    longest = max(tags, key=len)
    if len(longest) > LONGEST_TAG:
        raise UsageError(
            f"--tags-file {place}: {longest[:40]!r}… has {len(longest):,} characters; a tag has at "
            f"most {LONGEST_TAG}"
        )
    return tags


def _distinct(tags: Iterable[str]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for tag in tags:
        if tag:
            first.setdefault(tag.casefold(), tag)
    return tuple(first.values())
