"""Images over time, for runs of a second and of years."""

import numpy as np
import pytest

from workers.report.pace import MOST_BARS, MOST_STEPS, Pace

START = 1_700_000_000_000_000
SECOND = 1_000_000


@pytest.mark.parametrize("seconds", [2, 90, 7200, 86400 * 12, 86400 * 365 * 30])
def test_no_image_is_lost_however_long_it_took(seconds: int) -> None:
    """Counted in pieces and joined, in any order: as many bars as can be seen, all images in them,
    each where its time is, from the first to the last.
    """
    times = START + np.random.default_rng(1).integers(0, seconds * SECOND, 20_000)
    pieces = np.array_split(np.concatenate([times, [START, START + seconds * SECOND]]), 7)
    whole = Pace()
    for piece in pieces:
        part = Pace()
        part.add(piece)
        whole.merge(part)
    assert len(whole._steps) <= MOST_STEPS
    width, bars = whole.bars()
    assert 2 <= len(bars) <= MOST_BARS + 1
    assert sum(bar.images for bar in bars) == whole.images == 20_002
    assert bars[0].start <= START / 1e6 < bars[0].start + width
    assert bars[-1].start <= START / 1e6 + seconds < bars[-1].start + width
    assert (whole.first, whole.last) == (START / 1e6, START / 1e6 + seconds)
    exact = np.histogram(times / 1e6, [bar.start for bar in bars] + [bars[-1].start + width])[0]
    # a step of the count may lie across two bars
    assert np.abs(exact - [bar.images for bar in bars]).sum() < 20_000 * 0.15


def test_there_are_hardly_more_bars_than_batches() -> None:
    """Rows carry the time of their batch: finer bars would be full and empty in turn."""
    pace = Pace()
    pace.add(START + np.repeat(np.arange(6) * 10 * SECOND, 32))
    width, bars = pace.bars()
    assert width >= 50 / 6
    assert min(bar.images for bar in bars) > 0
    assert Pace().bars()[1] == []
