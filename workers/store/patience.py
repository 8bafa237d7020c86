"""How long a store may take, whatever is retried below."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from workers.store.errors import client_errors, http_status, refuses_credentials, request_errors

Answer = TypeVar("Answer")

FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)
"""Answers that a second question would not change."""

TRANSIENT_ERRNOS = frozenset(
    {
        errno.EINTR,
        errno.EAGAIN,
        errno.EIO,
        errno.EBUSY,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENOBUFS,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""What passes of that which a system call fails with and Python has no exception of its own for."""

TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
"""Statuses below 500 that ask for patience."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later, told by type, HTTP status, errno and the
    store's error code alone.
    """
    if isinstance(error, (*FINAL, *request_errors())) or refuses_credentials(error):
        return False
    if isinstance(error, TimeoutError):
        return True
    if not isinstance(error, client_errors()):
        return False
    status = http_status(error)
    if status is not None:
        return status in TRANSIENT_STATUS or (status >= 500 and status != 501)
    if type(error) is OSError and error.errno is not None:
        return error.errno in TRANSIENT_ERRNOS
    return True


@dataclass(frozen=True, slots=True)
class Patience:
    """One deadline over all nested retries; clock and sleep can be handed in."""

    seconds: float = 120
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, request: Callable[[float], Answer]) -> Answer:
        """The answer to `request(seconds left)`, asked again after transient errors.

        Waits are random and grow to 20 s. Raises the last error as it came.
        """
        deadline = self.clock() + self.seconds
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=20),
            stop=lambda state: self.clock() + state.upcoming_sleep >= deadline,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(lambda: request(max(deadline - self.clock(), 0.001)))


PATIENCE = Patience()
"""What is used where nobody says otherwise."""
