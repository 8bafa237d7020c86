"""Questions to a store, its client's errors made ours: one translation for all who ask."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from schemas.outcome import BucketsightError, StoreError, UsageError
from workers.store.errors import (
    EXPIRED,
    client_errors,
    credential_errors,
    error_code,
    http_status,
    refuses_credentials,
    request_errors,
)
from workers.store.patience import PATIENCE, Patience

Answer = TypeVar("Answer")

_SENTENCES = {
    errno.EROFS: "the file system may only be read",
    errno.ENAMETOOLONG: "the name is longer than the store takes",
    errno.ELOOP: "links that lead to each other",
    errno.EXDEV: "OUTPUT reaches over two file systems by a link or a mount; keep it on one",
}
"""What a caller can mend, by errno."""


def ask(
    place: str,
    request: Callable[[float], Answer],
    patience: Patience = PATIENCE,
    purpose: str = "read",
) -> Answer:
    """The answer to `request(seconds left)` about `place`, asked again while that may help.

    `purpose` completes "`place` cannot be …". Raises FileNotFoundError as it comes, and for all
    else of `client_errors` UsageError where the caller can mend it (no permission, no credentials,
    a name that cannot be), StoreError (exit 75) where the store did not answer before the deadline
    or the credentials have expired.
    """
    with client_errors_as_ours(place, purpose):
        return patience(request)


@contextmanager
def client_errors_as_ours(place: str, purpose: str = "read") -> Iterator[None]:
    """Errors as `ask` raises them, for what is asked within; nothing is asked twice."""
    try:
        yield
    except FileNotFoundError:
        raise
    except client_errors() as error:
        raise as_ours(place, error, purpose) from error


def as_ours(place: str, error: BaseException, purpose: str = "read") -> BucketsightError:
    """The UsageError or StoreError that stands for `error`, one of `client_errors`."""
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, credential_errors()):
        return UsageError(f"{place}: the store wants credentials, and none were found: {error}")
    if error_code(error) in EXPIRED:
        return StoreError(
            f"{place} cannot be {purpose}: the credentials have expired, or this machine's clock "
            f"is wrong: {error}"
        )
    if refuses_credentials(error):
        return UsageError(f"{place} cannot be {purpose}: the credentials are refused: {error}")
    if isinstance(error, PermissionError) or http_status(error) == 403:
        return UsageError(f"{place} cannot be {purpose}: no permission: {error}")
    if isinstance(error, FileNotFoundError):
        return UsageError(f"{place} cannot be {purpose}: no such bucket or folder")
    if isinstance(error, NotADirectoryError):
        return UsageError(f"{place}: a file stands where a folder is named")
    if isinstance(error, IsADirectoryError):
        return UsageError(f"{place}: a folder stands where a file is named")
    if isinstance(error, request_errors()):
        return UsageError(f"{place} cannot be {purpose}: {' '.join(str(error).split())}")
    if http_status(error) == 501:
        return UsageError(f"{place} cannot be {purpose}: the store does not know how")
    if http_status(error) is None and code in _SENTENCES:
        return UsageError(f"{place} cannot be {purpose}: {_SENTENCES[code]}")
    return StoreError(f"{place} cannot be {purpose} now: {error}")
