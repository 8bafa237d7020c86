"""The script that schedules use, on a real Ray with its job server."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.deploy.scripts import SUBMIT, submit
from tests.jobs.clusters import Cluster, ray_head
from tests.jobs.commands import PATIENCE, ROOT, wait_for

SCRIPT = ROOT / SUBMIT
IMPATIENT = (
    f"import runpy, sys; its = runpy.run_path({str(SCRIPT)!r}); its['main'].__globals__"
    "['LOST_SECONDS'] = 1; sys.exit(its['main'](sys.argv[1:]))"
)
TRAPPED = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(4),"
    " print('drained', flush=True), sys.exit(75))); print('runs', flush=True); time.sleep(600)"
)
RAYS_OWN = re.compile(r"Runtime env is setting up|Running entrypoint for job")
GATED = (
    "import pathlib, sys, time; print('one', flush=True);"
    " gate = pathlib.Path(sys.argv[1]);"
    " [time.sleep(0.1) for _ in iter(gate.exists, True)]; print('two'); sys.exit(3)"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that asks for a token; Ray's sockets want a short path."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        ray_head(Path(folder), cpus=1) as head,
    ):
        yield head


class Wire:
    """A way to the cluster that can be cut and mended."""

    def __init__(self, dashboard: str) -> None:
        self._port = int(dashboard.rpartition(":")[2])
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        self._cut = True
        for one in self._sockets:
            with suppress(OSError):  # it was closed already
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def mend(self) -> None:
        self._cut = False

    def _accept(self) -> None:
        while True:
            ours, _ = self._server.accept()
            if self._cut:
                ours.close()
                continue
            theirs = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [ours, theirs]
            for pair in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Submission:
    """The script at work; what it prints can be looked at meanwhile."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self._out, self._errors = folder / "out", folder / "errors"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                arguments, cwd=folder, env=variables, stdout=out, stderr=errors
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def log(self) -> str:
        """What the driver printed, without what Ray says beside it."""
        ours = [line for line in self.out.splitlines() if not RAYS_OWN.search(line)]
        return "\n".join(ours)

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def id(self) -> str:
        """Of the submission, once it is said."""
        return re.findall(r"^submit: (\S+) is submitted to", self.errors, re.MULTILINE)[0]

    def ended(self) -> int:
        return self.process.wait(timeout=PATIENCE)

    def wait_for(self, words: str) -> None:
        wait_for(lambda: words in self.log + self.errors or self.process.poll() is not None, words)
        assert words in self.log + self.errors, self.errors


@contextmanager
def submitting(
    folder: Path, cluster: Cluster, *command: str, address: str = "", program: tuple[str, ...] = ()
) -> Iterator[Submission]:
    """`python deploy/submit.py --address … -- python -c COMMAND…`, killed in the end."""
    folder.mkdir(exist_ok=True)
    where = ("--address", address or cluster.dashboard)
    words = (sys.executable, *(program or (str(SCRIPT),)), *where, "--", "python", "-c", *command)
    submission = Submission(folder, *words, **cluster.environment)
    try:
        yield submission
    finally:
        submission.process.kill()
        submission.process.wait()


def test_the_exit_code_is_the_drivers(cluster: Cluster, tmp_path: Path) -> None:
    """Of jobs at once each has an id and a log of its own, and its driver's exit code."""
    ends = {code: f"sys.exit({code})" for code in (0, 2)} | {
        128 + signal.SIGKILL: "sys.stdout.flush(); os.kill(os.getpid(), 9)"
    }
    with ExitStack() as held:
        jobs = {
            code: held.enter_context(
                submitting(tmp_path / str(code), cluster, f"import os, sys; print({code}); {end}")
            )
            for code, end in ends.items()
        }
        assert {code: job.ended() for code, job in jobs.items()} == {code: code for code in ends}
    assert {code: job.log for code, job in jobs.items()} == {code: str(code) for code in ends}
    ids = [job.id for job in jobs.values()]
    assert len(set(ids)) == len(ids)
    assert all(job.errors.count("\n") == 2 for job in jobs.values()), jobs[0].errors
    assert all(re.fullmatch(r"python-\d{4}-\d\d-\d\d-[1-9]\d*", one) for one in ids)


def test_a_stopped_job_is_no_success(cluster: Cluster, tmp_path: Path) -> None:
    """SIGTERM to the script stops the job, which has its drain; --stop-all stops what is left and
    waits for it; either is exit code 75.
    """
    with (
        submitting(tmp_path / "ours", cluster, TRAPPED) as ours,
        submitting(tmp_path / "theirs", cluster, TRAPPED) as theirs,
    ):
        ours.wait_for("runs")
        theirs.wait_for("runs")
        ours.process.send_signal(signal.SIGTERM)
        assert ours.ended() == 75, ours.errors
        assert told(cluster, theirs.id)["status"] == "RUNNING"
        everything = [sys.executable, SCRIPT, "--address", cluster.dashboard, "--stop-all"]
        subprocess.run(everything, env=cluster.environment, check=True, timeout=PATIENCE)
        assert told(cluster, theirs.id)["status"] == "STOPPED"  # it was waited for
        assert theirs.ended() == 75, theirs.errors
    assert ours.log == theirs.log == "runs\ndrained"
    assert f"stopping {ours.id}, which has 30 s to end" in ours.errors
    assert told(cluster, ours.id)["status"] == "STOPPED"


def test_a_lost_connection_is_not_the_jobs_end(cluster: Cluster, tmp_path: Path) -> None:
    """The job is followed again where the connection comes back, and no line of its log is missing
    or doubled; where it does not, that is exit code 75, and the job goes on.
    """
    wire, gate = Wire(cluster.dashboard), tmp_path / "gate"
    with (
        submitting(tmp_path / "job", cluster, GATED, str(gate), address=wire.address) as patient,
        submitting(
            tmp_path / "left",
            cluster,
            GATED,
            str(gate),
            address=wire.address,
            program=("-c", IMPATIENT),
        ) as impatient,
    ):
        patient.wait_for("one")
        impatient.wait_for("one")
        wire.cut()
        assert impatient.ended() == 75
        patient.wait_for("does not answer, the job goes on")
        assert told(cluster, impatient.id)["status"] == "RUNNING"
        wire.mend()
        patient.wait_for("the cluster answers again")
        gate.touch()
        assert patient.ended() == 3, patient.errors
    assert patient.log == "one\ntwo"


def test_what_cannot_be_submitted_is_said(cluster: Cluster, tmp_path: Path) -> None:
    """A wrong token is exit code 2, a cluster that is not there 75: it may come back."""
    stranger = Cluster(
        cluster.address, cluster.dashboard, cluster.environment | {"RAY_AUTH_TOKEN": "0" * 64}
    )
    with (
        submitting(tmp_path / "stranger", stranger, "pass") as unknown,
        submitting(tmp_path / "none", cluster, "pass", address="http://127.0.0.1:1") as nowhere,
    ):
        assert (unknown.ended(), nowhere.ended()) == (2, 75)
    for job, words in ((unknown, "does not let us in"), (nowhere, "nothing could be done at")):
        assert words in job.errors
        assert job.errors.count("\n") == 1


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return submit()


def test_a_configuration_travels_with_the_job(script: ModuleType, tmp_path: Path) -> None:
    """Whatever it says, jobs/nightly.py is given a file that holds it, and the flags behind it."""
    text = "# it's \"$HOME\" and `quoted`\n[[collection]]\ninput = 's3://ä/%s\\n'\n"
    config = tmp_path / "shop.toml"
    config.write_text(text)
    _, job = script._parse([str(config), "--deadline", "6 h", "--plan"])
    assert job.name == "shop"
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$1 $3 $4 $5"; cat "$2"\n')
    python.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", job.entrypoint], env={"PATH": path} | job.variables, capture_output=True
    )
    assert ran.stdout.decode() == f"jobs/nightly.py --deadline 6 h --plan\n{text}", ran.stderr


@pytest.mark.parametrize(
    ("status", "code", "why", "exit_code"),
    [
        ("SUCCEEDED", 0, None, 0),
        ("FAILED", 3, "JOB_ENTRYPOINT_COMMAND_ERROR", 3),
        ("FAILED", 75, "JOB_ENTRYPOINT_COMMAND_ERROR", 75),
        ("STOPPED", 0, None, 75),
        ("STOPPED", None, None, 75),
        ("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED", 75),
        ("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE", 1),
    ],
)
def test_only_a_driver_that_succeeded_is_a_success(
    script: ModuleType, status: str, code: int | None, why: str | None, exit_code: int
) -> None:
    """Its own code is passed on; an end that says nothing of the driver is worth another try, but
    not where Ray could not start it.
    """
    job = script.JobDetails(
        type="SUBMISSION", entrypoint="", status=status, driver_exit_code=code, error_type=why
    )
    assert script._Follower(None, "x", None, 30)._verdict(job) == exit_code


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none.toml"], "none.toml cannot be read"),
        (["--"], "there is no command behind --"),
        (["--stop-all", "night.toml"], "unrecognized arguments: night.toml"),
        ([], "CONFIG.toml"),
    ],
)
def test_bad_usage_is_said(
    script: ModuleType, arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a sentence, before any cluster is asked."""
    with pytest.raises(SystemExit) as end:
        script.main(arguments)
    assert end.value.code == 2
    assert why in capsys.readouterr().err


def told(cluster: Cluster, submission: str) -> Any:
    """What the cluster's job server knows of a job."""
    token = cluster.environment["RAY_AUTH_TOKEN"]
    request = urllib.request.Request(
        f"{cluster.dashboard}/api/jobs/{submission}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
