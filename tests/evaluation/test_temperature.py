"""Temperature scaling."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.outcome import UsageError
from workers.evaluation.metrics import calibration_error
from workers.evaluation.temperature import fit_temperature, loss, sigmoid


def overconfident(factor: float, items: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds that are `factor` times as far from 0 as the truth."""
    dice = np.random.default_rng(0)
    honest = dice.normal(0, 2, items)
    return honest * factor, dice.random(items) < sigmoid(honest)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_the_fit_finds_the_truth(factor: float) -> None:
    """Log-odds that were stretched are brought back, and no temperature nearby has less loss."""
    log_odds, yes = overconfident(factor)
    found = fit_temperature(log_odds, yes)
    assert found == pytest.approx(factor, rel=0.1)
    assert loss(log_odds, yes, found) <= min(
        loss(log_odds, yes, found * step) for step in (0.9, 0.99, 1.01, 1.1)
    )


def test_a_fit_lowers_the_calibration_error() -> None:
    """What said 95 % and was right 80 % of the time says 80 % afterwards."""
    log_odds, yes = overconfident(3.0)
    found = fit_temperature(log_odds, yes)
    before, after = (calibration_error(sigmoid(log_odds / t), yes) for t in (1.0, found))
    assert before is not None and after is not None
    assert after < 0.03 < 0.1 < before


def test_a_fit_stays_within_bounds() -> None:
    """Faultless answers do not drive the temperature to nothing, nor do false ones to no end."""
    log_odds = np.array([-9.0, -8.0, 800.0, 8.0])
    yes = np.array([False, False, True, True])
    assert fit_temperature(log_odds, yes) == pytest.approx(1 / 20)
    assert fit_temperature(-log_odds, yes) == pytest.approx(20)
    assert np.isfinite(loss(-log_odds, yes, 1 / 20))


def test_one_kind_is_refused() -> None:
    """Items that are all alike say nothing about probabilities."""
    for yes in (np.array([True, True]), np.array([False]), np.array([], dtype=bool)):
        with pytest.raises(UsageError, match="both kinds"):
            fit_temperature(np.ones(len(yes)), yes)
