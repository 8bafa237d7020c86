"""What INPUT says of an item beside its image, and which of its columns is the image."""

import json
import math
from collections.abc import Mapping, Sequence

from schemas import document
from schemas.outcome import UsageError

URI_NAMES = (
    "uri url image_uri image_url image image_path path file_name filename filepath file".split()
)
"""Of columns that name an image, the likeliest first; capitals do not count."""
BYTES_NAMES = "image image_bytes bytes jpg jpeg png webp img".split()
"""Likewise, of columns that hold one, where there are several of bytes."""

_SHOWN = 20


def encode_columns(values: Mapping[str, object]) -> str:
    """`values` as `ImageRef.columns` has them; columns without a name are left out.

    Strings, bools and null stay what they are, and numbers do where 64 bits hold them: a larger
    integer becomes its digits, NaN and the infinities, which JSON lacks, become null. What is
    nested becomes JSON text.
    """
    named = {_well_formed(name): _plain(value) for name, value in values.items() if name}
    return document.dumps(named).decode() if named else ""


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _well_formed(value)
    return _well_formed(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _well_formed(text: str) -> str:
    """`text` with U+FFFD for what UTF-8 cannot hold: bytes that were none, halves of pairs."""
    return (
        text if text.isascii() else text.encode("utf-8", "surrogatepass").decode(errors="replace")
    )


def find_column(
    place: str, columns: Sequence[str], asked: str, fitting: Sequence[str], names: Sequence[str]
) -> str:
    """Which of `columns` is the image: the one that `--image-column` `asked` for ("": left open),
    else that of `fitting` which has the first of `names`.

    Raises UsageError, naming `place`, where there is none, or two that differ by capitals alone.
    """
    if asked:
        if columns.count(asked) == 1:
            return asked
        raise UsageError(f"{place} has no one column {asked!r}: it has {_listed(columns)}")
    for name in names:
        found = [column for column in fitting if column.lower() == name]
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise UsageError(
        f"{place}: which column is the image? It has {_listed(columns)}; say it with --image-column"
    )


def require_unlike(place: str, columns: Sequence[str]) -> None:
    """Raises UsageError where two of `columns` have one name; those without any do not count."""
    named = [column for column in columns if column]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise UsageError(f"{place} has two columns {twice!r}: rename one")


def _listed(columns: Sequence[str]) -> str:
    if not columns:
        return "no columns"
    shown = ", ".join(repr(column) for column in columns[:_SHOWN])
    more = len(columns) - _SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
