"""The crontab: its time as cron reads it, its command as a shell runs it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from jobs.ray_environment import ROOT
from tests.jobs.commands import wait_for

STUB = """#!/bin/sh
echo "$@" >> "$HOME/calls"
test -e "$HOME/gate" && cat "$HOME/gate" > /dev/null
set -- $(cat "$HOME/codes")
code=$1; shift; echo "$@" > "$HOME/codes"
exit $code
"""


@pytest.fixture(scope="module")
def job() -> tuple[str, str]:
    """When, and what: the only line that is neither a comment nor a variable."""
    lines = (ROOT / "deploy" / "crontab").read_text().splitlines()
    (line,) = [line for line in lines if line and line[0] != "#" and "=" not in line.split()[0]]
    *when, command = line.split(maxsplit=5)
    assert "%" not in command  # which cron would read as the end of a line
    return " ".join(when), command


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A checkout whose python does as `codes` says, and a sleep that does not."""
    python = tmp_path / "checkout" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STUB)
    sleep = tmp_path / "bin" / "sleep"
    sleep.parent.mkdir()
    sleep.write_text("#!/bin/sh\necho slept $1 >> $HOME/calls\n")
    for program in (python, sleep):
        program.chmod(0o755)
    return tmp_path


Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start(job: tuple[str, str], home: Path) -> Iterator[Start]:
    """Starts the command as cron does, with hardly an environment; all of it is gone afterwards."""
    command = job[1].replace("/opt/bucketsight", str(home / "checkout"))
    path = f"{home / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    started = []

    def begin() -> subprocess.Popen[bytes]:
        environment = {"HOME": str(home), "PATH": path}
        words = ["/bin/sh", "-c", command]
        started.append(subprocess.Popen(words, env=environment, start_new_session=True))
        return started[-1]

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_is_every_night(job: tuple[str, str]) -> None:
    """Cron's five fields are two o'clock of every day."""
    times = CronSim(job[0], datetime(2026, 2, 27, 12))
    assert [str(next(times)) for _ in range(3)] == [
        f"2026-{day} 02:00:00" for day in ("02-28", "03-01", "03-02")
    ]


def test_an_interrupted_night_goes_on_and_ends_as_its_job(start: Start, home: Path) -> None:
    """The job is run again while it ends with 75, after five minutes; another code is the end."""
    (home / "codes").write_text("75 75 3")
    start().wait(timeout=20)
    call, pause = "jobs/nightly.py /etc/bucketsight/nightly.toml", "slept 300"
    assert (home / "calls").read_text().splitlines() == [call, pause, call, pause, call]
    assert (ROOT / call.split()[0]).is_file()


def test_a_night_that_is_still_at_work_is_not_doubled(start: Start, home: Path) -> None:
    """The second one ends at once and does nothing; when the first one has ended, a third works."""
    (home / "codes").write_text("0 0")
    os.mkfifo(home / "gate")
    first = start()
    calls = home / "calls"
    wait_for(lambda: calls.exists() and bool(calls.read_text()), "the first night works")
    assert start().wait(timeout=20) == 1
    assert len(calls.read_text().splitlines()) == 1
    (home / "gate").open("w").close()
    first.wait(timeout=20)
    (home / "gate").unlink()
    start().wait(timeout=20)
    assert len(calls.read_text().splitlines()) == 2
