"""One planned item → its bytes, if it is still the version that was planned."""

from schemas.image import ImageRef
from schemas.outcome import (
    ForbiddenError,
    NotFoundError,
    ReadFailedError,
)
from workers.store import (
    PATIENCE,
    Patience,
    as_ours,
    client_errors,
    credential_errors,
    fetch,
    http_status,
)


def read(image: ImageRef, patience: Patience = PATIENCE) -> bytes:
    """The bytes of `image`, of just the version that was planned.

    What may pass is tried again under `patience`'s one deadline. Raises NotFoundError,
    ForbiddenError, ChangedSincePlanError or ReadFailedError, and UsageError
    where this machine has no credentials to show: that is no fault of the item.
    """
    try:
        return patience(lambda seconds: fetch(image.uri, image.input_digest, seconds))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{image.uri} is gone since the plan") from error
    except PermissionError as error:
        raise ForbiddenError(f"{image.uri}: no permission to read it ({error})") from error
    except credential_errors() as error:
        raise as_ours(image.uri, error) from error
    except client_errors() as error:
        raise _by_status(image.uri, error) from error


def _by_status(uri: str, error: BaseException) -> NotFoundError | ForbiddenError | ReadFailedError:
    """What the store answered where its client has no exception of its own for it."""
    status = http_status(error)
    if status in (404, 410):
        return NotFoundError(f"{uri} is gone since the plan")
    if status in (401, 403):
        return ForbiddenError(f"{uri}: no permission to read it ({error})")
    answer = f"HTTP {status}" if status else type(error).__name__
    return ReadFailedError(f"{uri} cannot be read: {answer}: {error}")
