"""Metrics against their definitions, item by item."""

from __future__ import annotations

import numpy as np
import pytest

from workers.evaluation.metrics import auroc, average_precision, bins, calibration_error
from workers.evaluation.scores import interval, mean


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Few values, so that many tie, and both kinds."""
    dice = np.random.default_rng(seed)
    count = int(dice.integers(4, 40))
    positive = dice.random(count) < 0.4
    positive[:2] = (True, False)
    return dice.integers(0, 8, count) / 7, positive


@pytest.mark.parametrize("seed", range(30))
def test_auroc_is_the_share_of_pairs_in_order(seed: int) -> None:
    """Equal to counting all pairs of a positive and a negative item, ties as halves."""
    scores, positive = drawn(seed)
    pairs = [(p, n) for p in scores[positive] for n in scores[~positive]]
    share = sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)
    assert auroc(scores, positive) == pytest.approx(share)


@pytest.mark.parametrize("seed", range(30))
def test_average_precision_is_the_mean_over_thresholds(seed: int) -> None:
    """Equal to the precision at each positive item's own score, averaged over them."""
    scores, positive = drawn(seed)
    precisions = [positive[scores >= score].mean() for score in scores[positive]]
    assert average_precision(scores, positive) == pytest.approx(np.mean(precisions))


def test_ranks_take_the_endless() -> None:
    """Items that failed rank behind all: their scores are infinite."""
    scores = np.array([-np.inf, 0.3, np.inf, 0.1])
    positive = np.array([True, True, False, False])
    assert auroc(scores, positive) == 0.25
    assert average_precision(scores, positive) == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_what_is_not_defined_is_none() -> None:
    """No pair, no positive item, no item at all."""
    scores = np.array([0.5, 0.6])
    assert auroc(scores, np.array([True, True])) is None
    assert average_precision(scores, np.array([False, False])) is None
    assert calibration_error(np.array([]), np.array([], dtype=bool)) is None


@pytest.mark.parametrize("seed", range(10))
def test_calibration_error_is_its_definition(seed: int) -> None:
    """Equal to going through fifteen bins of equal width by hand; every item is in one of them."""
    dice = np.random.default_rng(seed)
    said, positive = dice.random(200), dice.random(200) < 0.5
    expected = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        chosen = [place for place, p in enumerate(said) if low <= p < high]
        if chosen:
            off = abs(np.mean(said[chosen]) - np.mean(positive[chosen]))
            expected += len(chosen) / 200 * off
    assert calibration_error(said, positive) == pytest.approx(expected)
    assert sum(bin.items for bin in bins(said, positive)) == 200


def test_certainty_has_a_bin() -> None:
    """Probabilities of 0 and 1 lie in the first and the last bin."""
    found = bins(np.array([0.0, 1.0]), np.array([False, True]))
    assert [found[0].items, found[-1].items] == [1, 1]
    assert calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_intervals_cover_the_truth() -> None:
    """In about 95 of 100 samples the interval of a mean holds the mean that was drawn from."""
    dice = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        figure = mean("share", (dice.random(80) < 0.3).astype(float))
        assert figure.low is not None and figure.high is not None
        covered += figure.low <= 0.3 <= figure.high
    assert 88 <= covered <= 99


def test_intervals_are_as_wide_as_they_should_be() -> None:
    """Of a share in many items 1.96 standard errors to either side."""
    figure = mean("share", [0.0, 1.0] * 1000)
    assert figure.low is not None and figure.high is not None
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 * 0.5 / 2000**0.5, rel=0.08)


def test_intervals_leave_out_what_is_not_defined() -> None:
    """A resample of one kind has no AUROC; the others make the interval, the same each time."""
    scores, positive = np.array([0.1, 0.9, 0.5]), np.array([False, True, False])
    figures = [interval("AUROC", lambda of: auroc(scores[of], positive[of]), 3) for _ in range(2)]
    assert figures[0] == figures[1]
    assert figures[0].value == figures[0].high == 1
