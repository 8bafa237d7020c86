"""Submit a job to a Ray cluster, follow its logs, and end as its driver ends.

Usage: python deploy/submit.py [--address URL] CONFIG.toml [FLAGS OF jobs/nightly.py]…
       python deploy/submit.py [--address URL] -- COMMAND…
       python deploy/submit.py [--address URL] --stop-all

CONFIG.toml is of this machine and travels with the job, as does the checkout's code. Exit codes:
the driver's own; 75 where the job was stopped, by whomever, or cannot be followed any more: the
same command again goes on with the run. SIGTERM and Ctrl-C stop the job with its drain. For a
cluster with a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.
--stop-all is for a head that is about to go: it stops every job there, and waits for their drains.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

ROOT = Path(__file__).resolve().parent.parent
FAILED = 1
USAGE = 2
INTERRUPTED = 75
STOP_SECONDS = 30
LOST = (OSError, RuntimeError, RayError, aiohttp.ClientError)
"""What Ray's client raises where the cluster does not answer, or not now."""
LOST_SECONDS = 900.0
"""Without an answer for so long, the job is left to itself."""
SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_AN_ANSWER = 60.0
SECONDS_OF_LAST_WORDS = 10.0
"""What the log may take to end after the job."""
CONFIG = "BUCKETSIGHT_CONFIG"
CONFIG_BYTES = 100_000
"""Linux takes 131,072 in one variable of the environment."""
NIGHTLY = (
    f'config=$(mktemp -d)/nightly.toml && printf %s "${CONFIG}" > "$config" && '
    'exec python jobs/nightly.py "$config"'
)
NEVER_RAN = ("RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR")
"""Why Ray says that a driver never ran, which the same command again would not mend."""


class Client(JobSubmissionClient):
    """Ray's, which would wait for an answer for ever."""

    def _do_request(self, method: str, endpoint: str, **how: Any) -> Any:
        return super()._do_request(method, endpoint, **({"timeout": SECONDS_AN_ANSWER} | how))


@dataclass(frozen=True, slots=True)
class Job:
    """What is submitted."""

    name: str
    entrypoint: str
    """For a shell, in the folder of the job's code."""
    variables: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """Parse, submit, follow; returns the exit code."""
    given, job = _parse(arguments)
    logging.disable(logging.WARNING)  # Ray's client tells of every file that it does not send
    try:
        if job is None:
            return _stop_all(Client(given.address), given.stop_seconds)
        return asyncio.run(_run(given.address, job, given.stop_seconds))
    except AuthenticationError as error:
        _say(f"the cluster at {given.address} does not let us in: {' '.join(str(error).split())}")
        return USAGE
    except LOST as error:
        _say(f"nothing could be done at {given.address}: {' '.join(str(error).split())}")
        return INTERRUPTED


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Job | None]:
    parser = argparse.ArgumentParser(
        prog="submit",
        usage="submit.py [--address URL] [--stop-seconds S] "
        "(CONFIG.toml [FLAG]… | -- COMMAND… | --stop-all)",
        description="Submit a job to a Ray cluster, follow its logs, end as its driver ends.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265"),
        metavar="URL",
        help="of the cluster's dashboard (default: RAY_API_SERVER_ADDRESS, else this machine's)",
    )
    parser.add_argument(
        "--stop-seconds",
        type=int,
        default=STOP_SECONDS,
        metavar="S",
        help="what the job has to end when it is stopped; more than its --drain-seconds "
        f"(default: {STOP_SECONDS})",
    )
    parser.add_argument("--stop-all", action="store_true", help="stop every job of the cluster")
    own, dashes, command = _split(arguments)
    if dashes and not command:
        parser.error("there is no command behind --")
    if command:
        scripts = [Path(word).stem for word in command if word.endswith(".py")]
        name = scripts[0] if scripts else Path(command[0]).name
        return parser.parse_args(own), Job(name, f"exec {shlex.join(command)}")
    if "--stop-all" in own:
        return parser.parse_args(own), None
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="of jobs/nightly.py")
    given, flags = parser.parse_known_args(own)
    try:
        text = given.config.read_text()
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{given.config} cannot be read: {error}")
    if len(text.encode()) > CONFIG_BYTES:
        parser.error(f"{given.config} has more than {CONFIG_BYTES:,} bytes")
    entrypoint = f"{NIGHTLY} {shlex.join(flags)}".rstrip()
    return given, Job(given.config.stem, entrypoint, {CONFIG: text})


def _split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    """What is before the first `--`, whether there is one, and what is behind it."""
    own = list(arguments)
    place = own.index("--") if "--" in own else len(own)
    return own[:place], place < len(own), own[place + 1 :]


async def _run(address: str, job: Job, stop_seconds: int) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    client = await asyncio.to_thread(Client, address)
    submission = await asyncio.to_thread(_submit, client, job, stop_seconds)
    _say(f"{submission} is submitted to {address}")
    return await _Follower(client, submission, stopping, stop_seconds).follow()


def _stop_all(client: Client, stop_seconds: int) -> int:
    """Each job has as long as it was submitted with; waits `stop_seconds` for all of them."""
    deadline = time.monotonic() + stop_seconds
    stopped: set[str] = set()
    while True:
        under_way = [
            job.submission_id
            for job in client.list_jobs()
            if job.submission_id and not job.status.is_terminal()
        ]
        for submission in under_way:
            if submission not in stopped:
                client.stop_job(submission)
                stopped.add(submission)
                _say(f"stopping {submission}")
        if not under_way:
            return 0
        if time.monotonic() > deadline:
            _say(f"{', '.join(under_way)} did not stop in {stop_seconds} s")
            return INTERRUPTED
        time.sleep(0.5)


def _submit(client: Client, job: Job, stop_seconds: int) -> str:
    """The submission's id: a used one is refused, so it has the date and the attempt of the day."""
    claimant = secrets.token_hex(16)
    variables = job.variables | {"RAY_JOB_STOP_WAIT_TIME_S": str(stop_seconds)}
    name = re.sub(r"[^\w-]+", "-", job.name, flags=re.ASCII)
    taken = {one.submission_id for one in client.list_jobs()}
    for attempt in count(1):
        submission = f"{name}-{datetime.now(UTC):%Y-%m-%d}-{attempt}"
        if submission in taken:
            continue
        try:
            return client.submit_job(
                entrypoint=job.entrypoint,
                submission_id=submission,
                runtime_env={"working_dir": str(ROOT), "env_vars": variables},
                metadata={"claimant": claimant},
            )
        except LOST:
            there = {one.submission_id: one for one in client.list_jobs()}
            if submission not in there:
                raise
            if (there[submission].metadata or {}).get("claimant") == claimant:
                return submission  # only the answer was lost
    raise AssertionError("numbers do not end")


@dataclass
class _Follower:
    """One submitted job, followed to its end."""

    client: Client
    submission: str
    stopping: asyncio.Event
    stop_seconds: int
    _printed: int = 0
    """So many characters of the job's log."""
    _lost_at: float | None = None
    _stop_by: float | None = None

    async def follow(self) -> int:
        """The exit code, when the job has one, or cannot be followed any more."""
        logs = asyncio.create_task(self._print_logs())
        while True:
            try:
                if self.stopping.is_set() and self._stop_by is None:
                    await self._stop()
                job = await asyncio.to_thread(self.client.get_job_info, self.submission)
            except LOST as error:
                if await self._is_given_up(error):
                    return INTERRUPTED
            else:
                if self._lost_at is not None:
                    _say("the cluster answers again")
                    self._lost_at = None
                    logs.cancel()  # it may hang on a connection that is dead
                if job.status.is_terminal():
                    await self._print_last_words(logs)
                    return self._verdict(job)
            if self._stop_by and time.monotonic() > self._stop_by:
                _say(f"{self.submission} does not stop")
                return INTERRUPTED
            if logs.done():
                logs = asyncio.create_task(self._print_logs())
            await self._wait(logs)

    async def _wait(self, logs: asyncio.Task[None]) -> None:
        """Until it is time to look again: something happened, or some seconds went by."""
        if self._lost_at is not None or self._stop_by is not None:
            await asyncio.sleep(1)
            return
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait(
            [logs, stopping], timeout=SECONDS_BETWEEN_LOOKS, return_when=asyncio.FIRST_COMPLETED
        )
        stopping.cancel()

    async def _stop(self) -> None:
        await asyncio.to_thread(self.client.stop_job, self.submission)
        _say(f"stopping {self.submission}, which has {self.stop_seconds} s to end")
        self._stop_by = time.monotonic() + self.stop_seconds + SECONDS_AN_ANSWER

    async def _is_given_up(self, error: BaseException) -> bool:
        """Nothing was heard of the job: whether to try no longer."""
        try:
            jobs = await asyncio.to_thread(self.client.list_jobs)
            if self.submission not in {job.submission_id for job in jobs}:
                _say(f"the cluster does not know {self.submission} any more: {error}")
                return True
        except LOST:
            pass
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            _say(f"the cluster does not answer, the job goes on; trying again: {error}")
        if now - self._lost_at < LOST_SECONDS:
            return False
        _say(f"the cluster did not answer for {LOST_SECONDS:g} s: {self.submission} is left alone")
        return True

    async def _print_logs(self) -> None:
        """As they come, until the job ends or the connection does; nothing twice."""
        seen = 0
        try:
            async for text in self.client.tail_job_logs(self.submission):
                self._print(text[max(0, self._printed - seen) :])
                seen += len(text)
        except LOST:
            pass
        await asyncio.sleep(1)

    async def _print_last_words(self, logs: asyncio.Task[None]) -> None:
        await asyncio.wait([logs], timeout=SECONDS_OF_LAST_WORDS)
        logs.cancel()
        try:
            whole = await asyncio.to_thread(self.client.get_job_logs, self.submission)
        except LOST as error:
            _say(f"the end of the log cannot be had: {error}")
        else:
            self._print(whole[self._printed :])

    def _print(self, text: str) -> None:
        self._printed += len(text)
        print(text, end="", flush=True)

    def _verdict(self, job: JobDetails) -> int:
        """Only what the driver said itself counts: Ray calls a stopped job no failure."""
        code = job.driver_exit_code
        why = f"exit code {code}" if code is not None else (job.message or "").partition("\n")[0]
        _say(f"{self.submission}: {job.status.value}, {why}")
        if job.status == JobStatus.SUCCEEDED:
            return 0
        if job.status == JobStatus.STOPPED:
            return INTERRUPTED
        if code is None:  # Ray knows no more of the driver, or never started it
            return FAILED if job.error_type in NEVER_RAN else INTERRUPTED
        return int(code) if code >= 0 else 128 - int(code)  # as a shell tells a signal


def _say(line: str) -> None:
    print(f"submit: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
