"""The rules by which seconds and bytes become figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.comparison.measurement import free_bytes, peak_bytes, steady_rate, watched

MIB = 2**20


def test_a_rate_leaves_the_warm_up_out() -> None:
    """Rows behind the first batch, from its last one until the file is written."""
    assert steady_rate([14.0, 10.0, 11.0, 12.0, 12.0], warm_up=2, ended=15.0) == 3 / 4


def test_without_more_rows_than_the_warm_up_there_is_no_rate() -> None:
    """What a first batch tells of a pace is nothing."""
    assert steady_rate([10.0, 11.0], warm_up=2, ended=15.0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_a_peak_stays() -> None:
    """Memory that is given back still counts, and what no process has is not told."""
    held = bytearray(64 * MIB)
    peak = peak_bytes()
    del held
    assert peak and peak > 64 * MIB
    for told in (peak_bytes(), peak_bytes(os.getpid())):
        assert told and told > 0.95 * peak  # Linux counts roughly
    assert free_bytes()
    assert peak_bytes(2**30) is None


WAITING = "import sys; held = bytearray(48 << 20); print('ready', flush=True); sys.stdin.read()"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_marked_processes_are_found() -> None:
    """A process is known by its environment, whoever started it; another's mark is not ours."""
    with watched("BENCHMARK_TEST=this") as peaks, watched("BENCHMARK_TEST=other") as others:
        process = subprocess.Popen(
            [sys.executable, "-c", WAITING],
            env=os.environ | {"BENCHMARK_TEST": "this"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout and process.stdin
        process.stdout.readline()
        peak = peak_bytes(process.pid)
    process.communicate()
    assert peak and peaks == [pytest.approx(peak, rel=0.1)] and peak > 48 * MIB
    assert others == []
    assert not Path(f"/proc/{process.pid}").exists()
