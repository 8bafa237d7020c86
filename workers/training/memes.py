"""Memes to learn from: the same words are kind over one picture and unkind over another.

They are confounded as the Hateful Memes set is (arXiv 2005.04790): a text likens somebody to the
picture or tells the two apart, a picture is nice or nasty, and only both together make the meme
unkind. The material is mild rudeness. Three parts, `train`, `dev` and `test`, share no wording.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Part = Literal["train", "dev", "test"]

_GRAMMAR = Path(__file__).with_name("memes.json")
CAPITALIZED, SHOUTED, PUNCTUATED = 0.15, 0.05, 0.25
"""Shares of the texts that begin with a capital, are all capitals, end with a mark."""


@dataclass(frozen=True)
class Grammar:
    """What texts are made of.

    `{aspect}` in a wording is something of somebody's, `{person}` a person other than you.
    """

    likening: tuple[str, ...]
    """Wordings that say that somebody is as the picture is."""
    parting: tuple[str, ...]
    """Wordings that say that somebody is not."""
    aspects: tuple[str, ...]
    persons: tuple[str, ...]
    openings: tuple[str, ...]
    closings: tuple[str, ...]

    def text(self, likens: bool, dice: random.Random) -> str:
        """One text, lower case for the most part."""
        wording = dice.choice(self.likening if likens else self.parting)
        filled = wording.format(aspect=dice.choice(self.aspects), person=dice.choice(self.persons))
        opening = dice.choice(self.openings) if dice.random() < 0.4 else ""
        closing = dice.choice(self.closings) if dice.random() < 0.3 else ""
        text = " ".join(part for part in (opening, filled, closing) if part)
        if dice.random() < PUNCTUATED:
            text += dice.choice(("!", ".", "...", " :)", " lol"))
        manner = dice.random()
        if manner < SHOUTED:
            return text.upper()
        return text[0].upper() + text[1:] if manner < SHOUTED + CAPITALIZED else text


@lru_cache(maxsize=1)
def _written() -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, list[str]]] = json.loads(_GRAMMAR.read_text(encoding="utf-8"))
    return content


@lru_cache(maxsize=3)
def grammar(part: Part) -> Grammar:
    """The grammar of one part."""
    return Grammar(**{slot: tuple(choices) for slot, choices in _written()[part].items()})


@lru_cache(maxsize=1)
def nice_concepts() -> frozenset[str]:
    """Names of what one is glad to be likened to."""
    return frozenset(_written()["concepts"]["nice"])


@lru_cache(maxsize=1)
def nasty_concepts() -> frozenset[str]:
    """Names of what one is not."""
    return frozenset(_written()["concepts"]["nasty"])


def is_unkind(nasty: bool, likens: bool) -> bool:
    """To be like something nasty, or unlike something nice."""
    return nasty == likens
