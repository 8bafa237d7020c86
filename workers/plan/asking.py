"""Questions to OUTPUT's store, its clients' errors made ours."""

from collections.abc import Callable
from typing import TypeVar

from schemas.outcome import StoreError, UsageError
from workers.store import Patience, client_errors, credential_errors

Answer = TypeVar("Answer")


def ask(place: str, request: Callable[[float], Answer], patience: Patience) -> Answer:
    """The answer to `request` about `place`.

    Raises FileNotFoundError as it comes, UsageError where reading is not permitted
    or a file stands in the way, StoreError.
    """
    try:
        return patience(request)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise UsageError(f"{place}: a file stands where a folder is named") from error
    except PermissionError as error:
        raise UsageError(f"no permission to read {place}: {error}") from error
    except credential_errors() as error:
        raise UsageError(f"no permission to read {place}: {error}") from error
    except client_errors() as error:
        raise StoreError(f"{place} cannot be read now: {error}") from error
