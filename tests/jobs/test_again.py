"""The commands that people are told to type."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.again import typed
from schemas.version import ROOT


def test_a_command_names_the_python_that_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the checkout's folder where it lies there, else by its whole path; quoted."""
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv" / "bin" / "python"))
    assert typed("jobs/status.py", "my out") == ".venv/bin/python jobs/status.py 'my out'"
    mine = tmp_path / "my python"
    mine.symlink_to("/bin/echo")
    monkeypatch.setattr(sys, "executable", str(mine))
    said = subprocess.run(["sh", "-c", typed("jobs/x.py", "a b")], capture_output=True, check=True)
    assert said.stdout == b"jobs/x.py a b\n"
