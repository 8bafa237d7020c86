"""Jobs as people start them: processes of their own, and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CAPTION = str(ROOT / "jobs" / "caption_bucket.py")
PATIENCE = 240
"""Seconds until a test gives up; nothing takes so long."""


def environment(**more: str) -> dict[str, str]:
    """What a terminal would give: nothing of Ray's, and one thread for each process."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain.pop("PYTHONPATH", None)
    return plain | {"OMP_NUM_THREADS": "1"} | more


def caption(
    *arguments: str | Path, cwd: Path = ROOT, **more: str
) -> subprocess.CompletedProcess[str]:
    """`python jobs/caption_bucket.py …`, waited for."""
    return command("caption_bucket", *arguments, cwd=cwd, **more)


def command(
    job: str, *arguments: object, cwd: Path = ROOT, **more: str
) -> subprocess.CompletedProcess[str]:
    """`python jobs/JOB.py …`, waited for."""
    return subprocess.run(
        [sys.executable, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )


@contextmanager
def captioning(*arguments: str | Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """`python jobs/caption_bucket.py …`, under way; killed if it is still there at the end."""
    with commanding("caption_bucket", *arguments, **more) as process:
        yield process


@contextmanager
def commanding(job: str, *arguments: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """`python jobs/JOB.py …`, likewise."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)],
        cwd=ROOT,
        env=environment(**more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Returns when `condition` holds; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)


@dataclass(frozen=True)
class Process:
    """A process that runs."""

    id: int
    command: str


def processes_with(variable: str, value: str) -> list[Process]:
    """All processes whose environment had `variable` at `value` when they began."""
    mark = f"{variable}={value}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(Process(int(folder.name), command))
        except OSError:  # it ended meanwhile, or is not ours
            continue
    return found


def parts(output: Path) -> Sequence[Path]:
    """The parts of all runs."""
    return sorted(output.glob("labels/run=*/part-*.parquet"))
