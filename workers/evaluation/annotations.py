"""Annotation files: JSON lines, a JSON list, or a JSON object of entries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.outcome import UsageError


@dataclass(frozen=True)
class Entry:
    """One entry of an annotation file. What is wrong with it is a UsageError that says where."""

    place: str
    """`FILE, line 3`, or `FILE, entry 3`."""
    key: str
    """Its name where the file is an object of entries; else ""."""
    fields: dict[str, Any]

    def wrong(self, why: str) -> UsageError:
        return UsageError(f"{self.place}: {why}")

    def string(self, name: str) -> str:
        """A text that may be empty."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise self.wrong(f"{name!r} must be a text")
        return value

    def text(self, name: str) -> str:
        """A text that says something."""
        value = self.string(name)
        if not value.strip():
            raise self.wrong(f"{name!r} is empty")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, one at least, each of which says something."""
        values = self.fields.get(name)
        if not isinstance(values, list) or not values:
            raise self.wrong(f"{name!r} must be a list of texts")
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise self.wrong(f"{name!r} holds what is no text, or is empty")
        return tuple(values)

    def integer(self, name: str, below: int) -> int:
        """A whole number, 0 to below - 1."""
        value = self.fields.get(name)
        if type(value) is not int or not 0 <= value < below:
            raise self.wrong(f"{name!r} must be a whole number, 0 to {below - 1}")
        return value

    def picture(self, *places: Path) -> Path:
        """The first of `places` that is a file."""
        for place in places:
            if place.is_file():
                return place
        looked = " or ".join(map(str, places))
        raise self.wrong(f"there is no picture {looked}")


def read_entries(annotations: Path) -> list[Entry]:
    """The file's entries in their order. Empty lines between JSON lines are none.

    Raises:
        UsageError: the file cannot be read, is no JSON of that kind, or holds no entry.
    """
    try:
        text = annotations.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {annotations}: {error}") from error
    entries = _whole(annotations, text)
    if entries is None:
        entries = _lines(annotations, text)
    if not entries:
        raise UsageError(f"{annotations} holds no picture")
    return entries


def _whole(annotations: Path, text: str) -> list[Entry] | None:
    """Of a JSON list, or an object that holds nothing but objects; None is neither."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise UsageError(f"{annotations} is no JSON list: {error}") from error
        return None
    if isinstance(value, list):
        return [
            _entry(f"{annotations}, entry {number}", "", fields)
            for number, fields in enumerate(value, start=1)
        ]
    if isinstance(value, dict) and all(isinstance(fields, dict) for fields in value.values()):
        return [_entry(f"{annotations}, entry {key!r}", key, of) for key, of in value.items()]
    return None


def _lines(annotations: Path, text: str) -> list[Entry]:
    entries = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{annotations}, line {number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{place} is no JSON: {error}") from error
        entries.append(_entry(place, "", fields))
    return entries


def _entry(place: str, key: str, fields: object) -> Entry:
    if not isinstance(fields, dict):
        raise UsageError(f"{place} is no JSON object")
    return Entry(place, key, fields)
