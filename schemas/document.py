"""JSON documents of a run folder: one spelling for one value, so that they can be digested."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from schemas.outcome import UsageError


def dumps(value: Mapping[str, Any]) -> bytes:
    """`value` as canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def loads(data: bytes | str, kind: str, version: int) -> dict[str, Any]:
    """The document that `dumps` wrote; `kind` names it in errors.

    Raises UsageError where it is no JSON object or its `schema_version` is not `version`.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        raise UsageError(f"{kind} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{kind} is not a JSON object")
    found = value.get("schema_version")
    if found != version:
        raise UsageError(
            f"{kind} was written under schema version {found} and this program knows {version}: "
            "go on with the program that wrote it, or write to another OUTPUT"
        )
    return value


def digest(value: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON."""
    return hashlib.sha256(dumps(value)).hexdigest()
