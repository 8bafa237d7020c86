"""What an evaluation says: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from workers.evaluation.published import System, table
from workers.evaluation.scores import Figure, Score
from workers.evaluation.suites.base import Item


def scores_table(scores: Sequence[Score]) -> str:
    """A line for each figure, the rule in front of its first."""
    rows = [
        (score.rule if figure is score.figures[0] else "", figure)
        for score in scores
        for figure in score.figures
    ]
    rule = max(len(score.rule) for score in scores)
    name = max(len(figure.name) for _, figure in rows)
    return "\n".join(f"{said:<{rule}}  {of.name:<{name}}  {of}" for said, of in rows)


def published_table(column: str, model: str, scores: Sequence[Score]) -> str:
    """The paper's table, and below it a row for each rule by which `model` was scored."""
    measured = []
    for score in scores:
        value = score.figures[0].value
        if value is not None:
            measured.append(System(model, f"measured, {score.rule}", {column: value * 100}))
    return table(tuple(measured))


def scores_record(scores: Sequence[Score]) -> dict[str, Any]:
    """By rule and name."""
    return {score.rule: {of.name: _figure(of) for of in score.figures} for score in scores}


def answers_record(
    items: Sequence[Item], answers: Sequence[object], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """Each item with its answer, null where it failed, and what that earned by each rule."""
    return [
        {
            "item": _plain(vars(item)),
            "answer": _plain(answer),
            "points": {score.rule: score.points[place] for score in scores},
        }
        for place, (item, answer) in enumerate(zip(items, answers, strict=True))
    ]


def _figure(figure: Figure) -> dict[str, float | None]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def _plain(value: object) -> object:
    """As JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: str(one) if isinstance(one, Path) else one for key, one in value.items()}
    return value
