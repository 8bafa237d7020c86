"""What is said about a picture: captions, tags, questions with their answers.

A text is English, lower case, without a full stop. Every sentence that the pocket checkpoint learns
comes from here, so the tokenizer is trained on these functions' output.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from workers.tasks.tags import LIST_QUESTION, ONE_QUESTION

CAPTION_QUESTION = "[caption] Describe this image briefly."
NAME_QUESTION = "[vqa] What does this image show?"
MEDIUM_QUESTION = "[vqa] Is this a photo or a drawing?"
VALENCE_QUESTION = "[vqa] Does this image show something nice or something nasty?"

PLURALS = (
    "scissors",
    "glasses",
    "sunglasses",
    "jeans",
    "shorts",
    "trousers",
    "chopsticks",
    "goggles",
)
NO_ARTICLE = ("a ", "an ", "the ", "no ", "two ", "three ", "four ", "people ", "hands ")
UNCOUNTABLE = frozenset(
    {
        "bacon",
        "bread",
        "broccoli",
        "butter",
        "cheese",
        "clothing",
        "corn",
        "fire",
        "fog",
        "furniture",
        "garlic",
        "grass",
        "honey",
        "ice",
        "meat",
        "money",
        "popcorn",
        "rain",
        "rice",
        "sake",
        "salt",
        "snow",
        "tea",
        "water",
        "wheat",
        "wind",
    }
)


@dataclass(frozen=True)
class Subject:
    """What is known of a picture."""

    name: str
    tags: tuple[str, ...] = ()
    photo: bool = False


def with_article(name: str) -> str:
    """'red apple' → 'a red apple'; names that take no article stay as they are."""
    last = name.split()[-1] if name.split() else name
    plural = last in PLURALS or (last.endswith("s") and not last.endswith(("ss", "us", "is")))
    if plural or last in UNCOUNTABLE or name.startswith(NO_ARTICLE) or not name[:1].isalpha():
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(subject: Subject) -> str:
    """The brief caption of a picture."""
    noun = with_article(subject.name)
    return f"a photo of {noun}" if subject.photo else noun


def tags(subject: Subject) -> str:
    """The name and what else describes it, comma-separated, at most six."""
    words = dict.fromkeys((subject.name, *subject.tags))
    return ", ".join(list(words)[:6])


def exchange(subject: Subject, others: Sequence[Subject], dice: random.Random) -> tuple[str, str]:
    """A question about the picture and its answer; `others` are what it is not."""
    kind = dice.random()
    if kind < 0.3:
        return LIST_QUESTION, tags(subject)
    if kind < 0.45:
        return NAME_QUESTION, subject.name
    if kind < 0.55:
        return MEDIUM_QUESTION, "a photo" if subject.photo else "a drawing"
    return _yes_or_no(subject, others, dice)


def tag_exchange(subject: Subject, dice: random.Random) -> tuple[str, str]:
    """A question about the picture's tags: all of them, which is harder to learn and asked more
    often, or one drawn evenly."""
    if dice.random() < 0.65:
        return LIST_QUESTION, tags(subject)
    return ONE_QUESTION, dice.choice(tags(subject).split(", "))


def _yes_or_no(subject: Subject, others: Sequence[Subject], dice: random.Random) -> tuple[str, str]:
    true = dice.random() < 0.5
    shown = subject if true else dice.choice(others)
    if shown.name == subject.name:
        true = True
    pattern = dice.choice(
        (
            "[vqa] Is this {}? Answer yes or no.",
            "[vqa] Does this image show {}? Answer yes or no.",
            "[vqa] Based on the image, is this statement true or false? this is {}",
        )
    )
    positive, negative = ("true", "false") if "true or false" in pattern else ("yes", "no")
    return pattern.format(with_article(shown.name)), positive if true else negative
