"""What INPUT says of an item beside its image, on its way into the row: types, then values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.outcome import UsageError
from schemas.rows import PassedColumn, TaskSchema, passed_name

MOST_COLUMNS = 1000
"""A table of more can hardly be read; so many come of keys that are values."""

INT64 = range(-(2**63), 2**63)

_BOOL, _INT, _FLOAT, _OTHER = 1, 2, 4, 8
_KINDS = {type(None): 0, bool: _BOOL, int: _INT, float: _FLOAT}
_TYPES = {_BOOL: "bool", _INT: "int64", _FLOAT: "double", _INT | _FLOAT: "double"}
"""Of the kinds that a name has had; whatever is not here is a string."""


class PassedTypes:
    """One type for each name, whatever item says something under it."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}

    def look_at(self, columns: str) -> None:
        """Take in an `ImageRef.columns`. Raises UsageError where the names do not end."""
        if not columns:
            return
        kinds = self._kinds
        for name, value in _parse(columns).items():
            kinds[name] = kinds.get(name, 0) | _kind(value)
        if len(kinds) > MOST_COLUMNS:
            raise UsageError(
                f"INPUT says things under more than {MOST_COLUMNS:,} names beside its images "
                f"({', '.join(sorted(kinds)[:3])}, …): give it columns instead of keys"
            )

    def columns(self) -> tuple[PassedColumn, ...]:
        """The columns, by name."""
        return tuple(
            PassedColumn(name, _TYPES.get(kinds, "string"))
            for name, kinds in sorted(self._kinds.items())
        )


def passed_values(
    columns: str, passed: Sequence[PassedColumn], tasks: Sequence[TaskSchema]
) -> dict[str, Any]:
    """What the row of `tasks` of an item with `ImageRef.columns` holds of the columns `passed` on.

    Keys are what rows call them; what INPUT says nothing of is None.
    """
    said: Mapping[str, Any] = _parse(columns) if columns and passed else {}
    return {passed_name(one.name, tasks): _as_type(said.get(one.name), one.type) for one in passed}


def said_under(columns: str, name: str) -> str:
    """What `ImageRef.columns` say under `name`, as text; "" where they say nothing."""
    if not columns:
        return ""
    said: str | None = _as_type(_parse(columns).get(name), "string")
    return said or ""


def _parse(columns: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(columns)
    if "\\ud" not in columns.lower():
        return said
    # Half a surrogate pair can be spelled in JSON, and in no file of text.
    clean = json.dumps(said, ensure_ascii=False).encode(errors="replace")
    whole: dict[str, Any] = json.loads(clean)
    return whole


def _kind(value: object) -> int:
    kind = _KINDS.get(type(value), _OTHER)
    return _OTHER if kind == _INT and value not in INT64 else kind


def _as_type(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "double":
        return float(value)
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value
