"""Failpoints: armed where they are asked for, and nowhere else."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.outcome import ExitCode, UsageError
from workers.failpoints import POINTS, VARIABLE, failpoint

ROOT = Path(__file__).resolve().parents[1]


def reach(*points: tuple[str, str], armed: str) -> subprocess.CompletedProcess[str]:
    """A process that comes by `points`, and says so each time that it survives one."""
    program = "import sys; from workers.failpoints import failpoint\n" + "\n".join(
        f"failpoint({point!r}, {subject!r}); print({subject!r}, flush=True)"
        for point, subject in points
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={VARIABLE: armed},
        text=True,
        capture_output=True,
    )


def test_a_process_dies_at_its_failpoint_and_not_before() -> None:
    """SIGKILL at the named point and subject; other points and other subjects are passed."""
    ended = reach(
        ("created", "runs/1/spec.json"),
        ("create", "runs/1/plan.json"),
        ("created", "runs/1/plan.json"),
        armed="look=kill,created=kill@plan.json",
    )
    assert (ended.returncode, ended.stdout.split()) == (
        -9,
        ["runs/1/spec.json", "runs/1/plan.json"],
    )


def test_a_failpoint_with_a_marker_fires_once(tmp_path: Path) -> None:
    """The first process that gets there dies and leaves its number; the next one passes."""
    armed = f"look=kill@7!{tmp_path}/marker"
    assert reach(("look", "image 7"), armed=armed).returncode == -9
    assert int((tmp_path / "marker").read_text()) > 1
    assert reach(("look", "image 7"), armed=armed).stdout == "image 7\n"


@pytest.mark.parametrize(
    "armed", ["look", "look=", "look=sing", "blink=kill", "look=kill@a!", "look=kill,", "=kill"]
)
def test_what_is_no_failpoint_is_bad_usage(armed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names nothing of ours is told, not passed over."""
    monkeypatch.setenv(VARIABLE, armed)
    with pytest.raises(UsageError, match=VARIABLE) as refused:
        failpoint("decode", "a.png")
    assert refused.value.exit_code == ExitCode.USAGE


def test_what_is_not_armed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable a point takes microseconds: an image comes by two of them."""
    monkeypatch.delenv(VARIABLE, raising=False)
    times = 10_000
    began = time.process_time()
    for _ in range(times):
        failpoint("look", "an image")
    assert (time.process_time() - began) / times < 20e-6


def test_every_point_is_somewhere() -> None:
    """What POINTS lists and what the program calls are the same."""
    called = set()
    for path in (ROOT / "workers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "failpoint"
            ):
                called.add(ast.literal_eval(node.args[0]))
    assert called == set(POINTS)
