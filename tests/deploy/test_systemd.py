"""The service and its timer, as systemd itself reads them."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.ray_environment import ROOT
from schemas.outcome import ExitCode
from workers.request import Options

FOLDER = ROOT / "deploy" / "systemd"
SERVICE = "bucketsight-nightly.service"
TIMER = "bucketsight-nightly.timer"
LIMIT = 40
"""Of 100, at which `systemd-analyze security` no longer says OK."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze …`."""
    words = ["systemd-analyze", *arguments]
    return subprocess.run(words, text=True, capture_output=True, timeout=60)


def read(name: str) -> configparser.ConfigParser:
    """A unit file; systemd allows what configparser does, as these have each key once."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((FOLDER / name).read_text())
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Both files, for a checkout here."""
    for name in (SERVICE, TIMER):
        text = (FOLDER / name).read_text()
        text = text.replace("/opt/bucketsight/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(text.replace("/opt/bucketsight", str(ROOT)))
    return tmp_path


@needs_systemd
def test_systemd_accepts_both(installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say; of a misspelt key it has."""
    units = [str(installed / name) for name in (SERVICE, TIMER)]
    fine = analyze("verify", *units)
    assert (fine.returncode, fine.stdout + fine.stderr) == (0, "")
    service = installed / SERVICE
    service.write_text(service.read_text().replace("RestartSec=", "RestartSecs="))
    assert "RestartSecs" in analyze("verify", *units).stderr


@needs_systemd
def test_the_timer_has_a_time_and_the_service_little_power(installed: Path) -> None:
    """The calendar's words are a time of every day; the sandbox is one that systemd finds OK."""
    when = analyze("calendar", "--iterations=2", read(TIMER)["Timer"]["OnCalendar"])
    assert when.returncode == 0, when.stderr
    assert when.stdout.count("02:00:00") >= 2
    place = str(installed / SERVICE)
    power = analyze("security", "--offline=true", f"--threshold={LIMIT}", place)
    assert power.returncode == 0, power.stdout


def test_what_may_pass_is_tried_again_and_a_stop_has_its_drain() -> None:
    """75 and kills restart the unit, other codes do not; the driver alone hears of a stop."""
    service = read(SERVICE)["Service"]
    assert service["Restart"] == "on-failure"
    codes = set(map(int, service["RestartPreventExitStatus"].split()))
    assert codes == set(ExitCode) - {ExitCode.COMPLETE, ExitCode.INTERRUPTED}
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) >= 2 * Options().drain_seconds
    assert read(TIMER)["Timer"]["Persistent"] == "yes"


def test_the_service_runs_the_nightly_job() -> None:
    """Its words are a file of the checkout and the configuration."""
    service = read(SERVICE)["Service"]
    python, job, config = service["ExecStart"].split()
    assert python == f"{service['WorkingDirectory']}/.venv/bin/python"
    assert (ROOT / job).is_file()
    assert config == "/etc/bucketsight/nightly.toml"
