"""What an evaluation shows: the paper's table, the reliability diagram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.outcome import UsageError
from workers.evaluation.metrics import bins
from workers.evaluation.published import System, table
from workers.evaluation.reliability import draw_reliability, reliability_table
from workers.evaluation.scores import Figure


def test_the_measured_row_stands_below_the_published_ones() -> None:
    """Each row says who measured it; what nobody measured is a dash."""
    *_, authors, ours = table((System("pocket", "strict", {"HM": 51.26}),)).splitlines()
    assert authors.split() == "TinyGPT-V 2.8B published 38.9 54.7 44.7 37.8 54.0".split()
    assert ours.split() == "pocket strict – – – – 51.3".split()


def test_reliability_is_a_table_and_a_picture(tmp_path: Path) -> None:
    """A line for each bin that holds something, and a PNG."""
    found = bins(np.array([0.1, 0.11, 0.9]), np.array([False, True, True]))
    _, low, high = reliability_table(found, "raw").splitlines()
    assert low.split() == "0.07 to 0.13 2 0.11 0.50".split()
    assert high.split() == "0.87 to 0.93 1 0.90 1.00".split()
    draw_reliability({"raw": found, "calibrated": found}, tmp_path / "reliability")
    with Image.open(tmp_path / "reliability") as picture:
        assert picture.format == "PNG"
    with pytest.raises(UsageError, match="cannot be written"):
        draw_reliability({"raw": found}, tmp_path / "no" / "folder.png")


def test_figures_are_told_with_their_interval() -> None:
    """A share in per cent, another number as it is."""
    assert str(Figure("accuracy", 0.5, 0.4, 0.65)) == "50.0%  (40.0% to 65.0%)"
    assert str(Figure("AUROC", 0.9123, percent=False)) == "0.912"
