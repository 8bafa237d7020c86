"""The paper's table (arXiv 2312.16862, zero-shot), with what was measured here below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COLUMNS = ("GQA", "VSR", "IconVQ", "VizWiz", "HM")


@dataclass(frozen=True)
class System:
    """A row: per cents by column; what is missing was not measured."""

    name: str
    mark: str
    """Who says so: `published`, or by which rule it was measured here."""
    figures: Mapping[str, float]


def _published(name: str, *figures: float | None) -> System:
    by_column = zip(COLUMNS, figures, strict=True)
    return System(name, "published", {column: f for column, f in by_column if f is not None})


PUBLISHED = (
    _published("Flamingo 9B", None, 31.8, None, 28.8, 57.0),
    _published("BLIP-2 13B", 41.0, 50.9, 40.6, 19.6, 53.7),
    _published("LLaVA 13B", 41.3, 51.2, 43.0, None, None),
    _published("InstructBLIP 13B", 49.5, 52.1, 44.8, 33.4, 57.5),
    _published("TinyGPT-V 2.8B", 38.9, 54.7, 44.7, 37.8, 54.0),
)


def table(measured: tuple[System, ...]) -> str:
    """The published rows and then the measured ones, one line each."""
    rows = (*PUBLISHED, *measured)
    name = max(len(row.name) for row in rows)
    mark = max(len(row.mark) for row in rows)
    lines = [" " * (name + mark + 2) + "".join(f"{column:>8}" for column in COLUMNS)]
    for row in rows:
        cells = (f"{row.figures[c]:.1f}" if c in row.figures else "–" for c in COLUMNS)
        lines.append(f"{row.name:<{name}}  {row.mark:<{mark}}" + "".join(f"{c:>8}" for c in cells))
    return "\n".join(lines)
