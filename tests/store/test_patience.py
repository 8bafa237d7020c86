"""Retries under one deadline, by type and status alone."""

import errno
from collections.abc import Callable

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
)

from tests.clock import Clock
from workers.store import Patience, http_status, is_transient


def answer(status: int) -> OSError:
    """What s3fs raises for an answer with `status`: an OSError with botocore's error behind it."""
    error = OSError(22, "whatever it says")
    error.__cause__ = ClientError(
        {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject"
    )
    return error


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_statuses_that_pass(status: int) -> None:
    """Throttling, conflicts and the server's own errors are worth another try."""
    assert http_status(answer(status)) == status
    assert is_transient(answer(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 412, 416, 501])
def test_statuses_that_stay(status: int) -> None:
    """A request that is wrong stays wrong."""
    assert not is_transient(answer(status))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (ConnectTimeoutError(endpoint_url="http://x"), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (FileExistsError(), False),
        (NoCredentialsError(), False),
        (ValueError("a mistake of ours"), False),
        (OSError(errno.EIO, "a sector"), True),
        (OSError(errno.ESTALE, "a network mount"), True),
        (OSError(errno.ELOOP, "links"), False),
        (OSError(errno.ENAMETOOLONG, "a name"), False),
        (OSError(errno.EXDEV, "two disks"), False),
        (OSError(errno.ENOSPC, "a full disk"), False),
        (ParamValidationError(report="a bucket's name"), False),
        (ProfileNotFound(profile="x"), False),
    ],
)
def test_errors_without_a_status(error: Exception, expected: bool) -> None:
    """What no server answered is told by its type."""
    assert is_transient(error) is expected


def test_a_passing_failure_is_outlived() -> None:
    """The answer comes after some failures; waits grow and differ."""
    clock = Clock()
    failures = [answer(503)] * 5

    def request(seconds: float) -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert Patience(120, clock, clock.sleep)(request) == "done"
    assert len(clock.slept) == 5
    assert len(set(clock.slept)) == 5
    assert max(clock.slept) <= 20


def always(clock: Clock, cost: float, seen: list[float]) -> Callable[[float], None]:
    """A request that takes `cost` seconds and fails, and notes how long it was given."""

    def request(seconds: float) -> None:
        seen.append(seconds)
        clock.now += cost
        raise answer(503)

    return request


@pytest.mark.parametrize("cost", [0.0, 7.0, 500.0])
def test_the_deadline_is_one_for_all_tries(cost: float) -> None:
    """No try begins after the deadline, and each is told how much time is left of it."""
    clock, seen = Clock(), list[float]()
    with pytest.raises(OSError) as caught:
        Patience(60, clock, clock.sleep)(always(clock, cost, seen))
    assert http_status(caught.value) == 503
    assert clock.now <= 1000 + max(60, cost) + cost
    assert seen == sorted(seen, reverse=True)
    assert 0 < min(seen) <= max(seen) <= 60


def test_what_stays_is_raised_at_once() -> None:
    """A missing object is not asked for twice."""
    clock, calls = Clock(), list[float]()

    def request(seconds: float) -> None:
        calls.append(seconds)
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        Patience(60, clock, clock.sleep)(request)
    assert len(calls) == 1
    assert clock.slept == []
