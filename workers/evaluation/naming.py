"""Naming: does the caption say what the picture shows?

Two rules, side by side. *Exact*: the caption, without its article and without "a photo of", is one
of the accepted names. *Contained*: an accepted name stands in the caption as whole words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.outcome import UsageError


@dataclass(frozen=True)
class NamedImage:
    """A picture and the names that count as right; the first is the canonical one."""

    path: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class NamingScore:
    """Shares of pictures, 0 to 1."""

    images: int
    exact: float
    contained: float


def read_annotations(annotations: Path, images: Path) -> list[NamedImage]:
    """JSON lines `{"image": file name, "names": [name, …]}`.

    Raises:
        UsageError: the file is missing, a line is not of that form, or a picture is not there.
    """
    try:
        lines = annotations.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {annotations}: {error}") from error
    cases = []
    for number, line in enumerate(lines, start=1):
        try:
            case = _named_image(json.loads(line), images)
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f'{annotations}, line {number}: not {{"image": file name, "names": [name, …]}}'
            ) from error
        if not case.path.is_file():
            raise UsageError(f"{annotations}, line {number}: there is no picture {case.path}")
        cases.append(case)
    if not cases:
        raise UsageError(f"{annotations} holds no picture")
    return cases


def _named_image(record: Any, images: Path) -> NamedImage:
    """One line's picture; ValueError, KeyError or TypeError at another shape."""
    image, names = record["image"], record["names"]
    if not isinstance(names, list) or not names:
        raise ValueError("names is no list of names")
    if not all(isinstance(text, str) and text.strip() for text in (image, *names)):
        raise ValueError("a name is empty or no text")
    return NamedImage(images / image, tuple(names))


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


def score_captions(cases: Sequence[NamedImage], captions: Sequence[str]) -> NamingScore:
    """Both shares over all cases."""
    pairs = list(zip(captions, cases, strict=True))
    return NamingScore(
        images=len(cases),
        exact=sum(names_exactly(caption, case.names) for caption, case in pairs) / len(cases),
        contained=sum(names_within(caption, case.names) for caption, case in pairs) / len(cases),
    )
