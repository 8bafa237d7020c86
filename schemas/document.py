"""JSON documents of a run folder: one spelling for one value, so that they can be digested."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from schemas.outcome import NewerFormatError, UsageError

Document = TypeVar("Document")


def dumps(value: Mapping[str, Any]) -> bytes:
    """`value` as canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def loads(data: bytes, place: str) -> dict[str, Any]:
    """The JSON object that `dumps` wrote; `place`, where it lies, names it in errors.

    Raises UsageError where it is none.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{place} is not a JSON object")
    return value


def loads_format(data: bytes, place: str, *versions: int) -> dict[str, Any]:
    """The fields of a document whose `format_version` is one of `versions`, without that one.

    Raises UsageError as `loads`, and for another version: NewerFormatError for a later one.
    """
    value = loads(data, place)
    found = value.pop("format_version", None)
    if found not in versions:
        known = " and ".join(map(str, versions))
        newer = isinstance(found, int) and found > max(versions)
        raise (NewerFormatError if newer else UsageError)(
            f"{place} is of format version {found} and this program knows {known}: "
            "go on with the program that wrote it, or write to another OUTPUT"
        )
    return value


def digest(value: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON."""
    return hashlib.sha256(dumps(value)).hexdigest()


def build(kind: type[Document], place: str, fields: dict[str, Any]) -> Document:
    """`kind(**fields)`, or a UsageError that says which document does not fit."""
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{place} is not what this program writes: {error}") from error
