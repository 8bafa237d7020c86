"""What an evaluation says: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from workers.evaluation.published import System, table
from workers.evaluation.scores import Figure, Score
from workers.evaluation.suites.base import Item, Suite


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


def published_table(suite: Suite[Any, Any], model: str, scores: Sequence[Score]) -> str:
    """The paper's table with a row for each rule by which `model` was scored."""
    measured = [(score.rule, score.figures[0].value) for score in scores]
    return table(
        tuple(
            System(model, f"measured, {rule}", {suite.column: value * 100})
            for rule, value in measured
            if value is not None
        )
    )


def scores_record(scores: Sequence[Score]) -> dict[str, Any]:
    """By rule and name."""
    return {score.rule: {f.name: _figure(f) for f in score.figures} for score in scores}


def answers_record(
    items: Sequence[Item], answers: Sequence[Any], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """Each item with what was answered, null where it failed, and what that earned by each rule."""
    points: Mapping[str, tuple[float, ...]] = {score.rule: score.points for score in scores}
    return [
        {
            **{
                name: str(value) if name == "image" else value for name, value in vars(item).items()
            },
            "given": asdict(answer) if hasattr(answer, "__dataclass_fields__") else answer,
            "points": {rule: earned[place] for rule, earned in points.items()},
        }
        for place, (item, answer) in enumerate(zip(items, answers, strict=True))
    ]


def _figure(figure: Figure) -> dict[str, float | None]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}
