"""One translation of what the clients of stores raise."""

import errno
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from schemas.outcome import StoreError, UsageError
from tests.clock import patience
from workers.store import ask, client_errors_as_ours, entry_at, fetch


def refused(status: int, code: str = "") -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (PermissionError("denied"), UsageError, "no permission"),
        (refused(401), UsageError, "credentials are refused"),
        (refused(403, "InvalidAccessKeyId"), UsageError, "credentials are refused"),
        (refused(400, "ExpiredToken"), StoreError, "credentials have expired"),
        (refused(403, "RequestTimeTooSkewed"), StoreError, "clock"),
        (refused(403), UsageError, "no permission"),
        (NoCredentialsError(), UsageError, "wants credentials"),
        (NotADirectoryError(), UsageError, "a file stands where a folder is named"),
        (IsADirectoryError(), UsageError, "a folder stands where a file is named"),
        (OSError(errno.EROFS, ""), UsageError, "may only be read"),
        (OSError(errno.ENAMETOOLONG, ""), UsageError, "longer than the store takes"),
        (OSError(errno.ELOOP, ""), UsageError, "lead to each other"),
        (OSError(errno.EXDEV, ""), UsageError, "keep it on one"),
        (OSError(errno.ENOSPC, "full"), StoreError, "cannot be listed now: .*full"),
        (ConnectionResetError("reset"), StoreError, "cannot be listed now: reset"),
        (refused(503), StoreError, "cannot be listed now"),
    ],
)
def test_each_error_has_one_answer(error: Exception, kind: type[Exception], sentence: str) -> None:
    """With patience or without, an error of the store is one of ours, in one sentence."""

    def request(seconds: float) -> None:
        raise error

    with pytest.raises(kind, match=f"(?s)^here.*{sentence}") as asked:
        ask("here", request, patience(), "listed")
    with pytest.raises(kind) as seen, client_errors_as_ours("here", "listed"):
        raise error
    assert str(asked.value) == str(seen.value)
    assert "\n" not in str(asked.value)


def test_what_is_missing_is_the_callers_to_tell() -> None:
    """A missing object comes as it is, and what is no client's error too."""
    for error in (FileNotFoundError(), ValueError("a mistake of ours")):
        with pytest.raises(type(error)) as caught, client_errors_as_ours("here"):
            raise error
        assert caught.value is error


def test_an_invalid_bucket_name_is_bad_usage(bucket: str) -> None:
    """A name that no bucket can have is said at once, in one line."""
    place = "s3://no bucket/x"
    with pytest.raises(UsageError, match="no bucket") as caught:
        ask(place, lambda seconds: fetch(place, seconds=seconds), patience())
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        ask(place, lambda _: entry_at(place), patience())


def test_a_name_too_long_is_bad_usage(tmp_path: Path) -> None:
    """A name longer than a disk takes is said at once."""
    place = str(tmp_path / ("x" * 300))
    with pytest.raises(UsageError, match="longer"):
        ask(place, lambda seconds: fetch(place), patience())
