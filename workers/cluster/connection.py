"""A connection to Ray: a cluster that somebody runs, or one of this machine alone."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from schemas.outcome import StoppedError, UsageError
from workers import signals

ROOT = Path(__file__).resolve().parent.parent.parent
OBJECT_STORE_BYTES = 100_000_000
"""Keys travel through Ray, never pixels."""
SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set for a driver that `ray job submit` started: the job's code is on every machine already."""


@contextmanager
def connection() -> Iterator[bool]:
    """The cluster that RAY_ADDRESS names, else one of our own that is gone afterwards.

    Tells whether others may use it too. A process that is connected already stays so. Raises
    UsageError where there is no connection, StoppedError where this machine is too busy for one.
    """
    if ray.is_initialized():
        yield True
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    with signals.restored(), signals.none_lost():  # Ray takes SIGTERM, and forks
        if address:
            _join(address, quiet)
        else:
            _start(quiet)
    try:
        yield bool(address)
    finally:
        with signals.ignored():  # what the run came to is settled, and Ray leaves nothing behind
            ray.shutdown()


def _start(quiet: dict[str, Any]) -> None:
    """A cluster of this machine alone, whatever other Ray runs here.

    Raises:
        UsageError: Ray cannot start here.
        StoppedError: the machine is too busy for Ray's own patience.
    """
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
    except OSError as error:
        raise UsageError(
            f"Ray does not start on this machine: {error}; RAY_TMPDIR names another folder for its "
            "files, whose path is to be short"
        ) from error
    except Exception as error:
        if type(error) is not Exception:  # Ray's own, for a node that was not up within its 30 s
            raise
        raise StoppedError(
            f"Ray did not start in time on this machine ({error}); the same command goes on"
        ) from error


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Connect to a cluster; unless the job was submitted to it, its machines are sent the code.

    Raises:
        UsageError: there is no such cluster, or it does not let us in.
    """
    host, _, port = address.rpartition(":")
    code = {} if SUBMITTED in os.environ else {"working_dir": str(ROOT)}
    try:
        if port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address, runtime_env=code, **quiet)
    # RuntimeError: a cluster of another Ray, or of another Python
    except (OSError, OverflowError, RayError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"no connection to Ray at {address}, which RAY_ADDRESS names ({why}); RAY_AUTH_MODE "
            "and the token must be the cluster's too"
        ) from error
