"""The loss curve."""

from workers.training.curve import place


def test_the_curve_is_drawn_over_the_steps() -> None:
    """A record lies at its step counted from the training's start, however records are spaced."""
    records = [
        {"stage": stage, "step": step}
        for stage, steps in (("one", (25, 50, 60)), ("two", (25, 40)), ("three", (25,)))
        for step in steps
    ]
    steps, starts = place(records)
    assert steps == [25, 50, 60, 85, 100, 125]
    assert starts == {"one": 0, "two": 60, "three": 100}
