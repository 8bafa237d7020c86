"""Naming: does the caption say what the picture shows?

Two rules, side by side. *Exact*: the caption, without its article and without "a photo of", is one
of the accepted names. *Contained*: an accepted name stands in the caption as whole words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def noun_of(caption: str) -> str:
    """'a photo of an apple' → 'apple'."""
    plain = " ".join(re.sub(r"[^\w\s'-]", " ", caption.lower()).split())
    return re.sub(r"^(a photo of )?(an? |the )?", "", plain)


def names_exactly(caption: str, names: Sequence[str]) -> bool:
    """Whether the caption's noun is one of the names."""
    return noun_of(caption) in {noun_of(name) for name in names}


def names_within(caption: str, names: Sequence[str]) -> bool:
    """Whether one of the names stands in the caption as whole words."""
    words = f" {noun_of(caption)} "
    return any(f" {noun_of(name)} " in words for name in names)
