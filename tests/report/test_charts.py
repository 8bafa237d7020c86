"""Bars that stand for their numbers, within the drawing."""

import numpy as np

from workers.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, histogram, speed
from workers.report.pace import Pace
from workers.report.tally import BINS


def require_drawn(chart: Chart, values: list[float]) -> None:
    """Each bar has its value's height on the scale that the labels tell, side by side, inside."""
    floor = HEIGHT - BOTTOM
    tops = [(tick.at, float(tick.text.replace("k", "e3").replace("M", "e6"))) for tick in chart.up]
    assert tops[0] == (floor, 0)
    assert tops[-1][1] >= max(values)
    unit = (floor - tops[-1][0]) / tops[-1][1]
    right = LEFT
    for bar, value in zip(chart.columns, values, strict=True):
        assert abs(bar.height - value * unit) < 0.02
        assert abs(bar.y + bar.height - floor) < 0.02
        assert right <= bar.x and bar.y >= TOP - 0.02
        right = bar.x + bar.width
    assert right <= WIDTH - RIGHT + 0.02


def test_a_histogram_shows_its_counts() -> None:
    """From few images to millions; what lies beyond the threshold is marked, and half of all is
    told in words.
    """
    for scale in (1, 7, 12_345_678):
        counts = [scale * (index % 5) for index in range(BINS)]
        chart = histogram("a score", counts, 0.5)
        require_drawn(chart, [float(count) for count in counts])
        assert [bar.marked for bar in chart.columns] == [index >= 10 for index in range(BINS)]
        assert chart.threshold and chart.threshold.at == (LEFT + WIDTH - RIGHT) / 2
    assert (
        histogram("a score", [0] * 19 + [3]).told
        == "3 images, half of them with a score above 0.95."
    )
    assert histogram("a score", [0] * 13 + [1] + [0] * 6).told == "1 image, of a score from 0.65."


def test_speed_is_images_a_minute() -> None:
    """Of a part of the run that was read, for the whole of it; no chart of a moment."""
    pace = Pace()
    assert speed(pace, 1) is None
    pace.add(1_700_000_000_000_000 + np.arange(6000) * 100_000)  # ten a second
    chart = speed(pace, 0.5)
    assert chart
    inner = [float(bar.told.split(": ")[1].split()[0].replace(",", "")) for bar in chart.columns]
    assert set(inner[1:-1]) == {1200.0}
    assert chart.across_title == "time (UTC), in steps of 15 seconds"
