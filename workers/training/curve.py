"""The loss curve of a training as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SMOOTHING = 0.9


def draw_losses(log: Path, picture: Path) -> None:
    """Read the trainer's `losses.jsonl`, write a PNG: one line a loss, one band a stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    steps, starts = place(records)
    for loss in ("answers", "vision", "queries", "memes"):
        told = [index for index, record in enumerate(records) if loss in record]
        values = _smooth([records[index][loss] for index in told])
        axes.plot([steps[index] for index in told], values, label=loss)
    for stage, position in starts.items():
        axes.axvline(position, color="0.8", linewidth=0.8)
        axes.text(
            position,
            1.0,
            f" {stage}",
            rotation=90,
            va="top",
            fontsize=7,
            color="0.4",
            transform=axes.get_xaxis_transform(),
        )
    axes.set(xlabel="steps", ylabel="cross-entropy, nats", yscale="log")
    axes.legend()
    figure.savefig(picture, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def place(records: Sequence[Mapping[str, Any]]) -> tuple[list[int], dict[str, int]]:
    """Each record's step counted from the training's start, and the step at which a stage starts.

    The last record of a stage is of its last step.
    """
    steps: list[int] = []
    starts: dict[str, int] = {}
    for record in records:
        start = starts.setdefault(record["stage"], steps[-1] if steps else 0)
        steps.append(start + record["step"])
    return steps, starts


def _smooth(values: list[float]) -> list[float]:
    """Exponential moving average that starts at the first value."""
    smoothed: list[float] = []
    for value in values:
        previous = smoothed[-1] if smoothed else value
        smoothed.append(SMOOTHING * previous + (1 - SMOOTHING) * value)
    return smoothed
