"""The one way in which anything is written: create a name that nobody has taken.

The answer is told by exception type and HTTP status, never by message. After a lost answer "taken"
may be one's own doing, so whoever wants to know who won reads what is there: `commit`.
"""

from enum import Enum

from schemas.outcome import UsageError
from schemas.uri import is_local, join
from workers.failpoints import failpoint
from workers.store import (
    PATIENCE,
    Patience,
    as_ours,
    ask,
    client_errors,
    fetch,
    http_status,
    is_transient,
    remove_scratch,
    store_of,
)

WRITTEN = "written"


class Answer(Enum):
    """What came of a creation."""

    CREATED = "created"
    TAKEN = "taken"
    UNKNOWN = "unknown"
    """It may or may not be there now."""


def create(output: str, name: str, data: bytes, seconds: float | None = None) -> Answer:
    """Create `name` (relative to the canonical `output`) with `data`, whole or not at all.

    Raises UsageError where the store cannot create exclusively or OUTPUT may not be written, and
    StoreError where it refuses for another reason (a full disk, a bad request).
    """
    store = store_of(output)
    if not store.creates:
        raise UsageError(f"{output}: a store of this kind cannot create files exclusively")
    failpoint("create", name)
    try:
        store.create(output, name, data, seconds)
    except FileExistsError:
        return Answer.TAKEN
    except client_errors() as error:
        if http_status(error) == 412:
            return Answer.TAKEN
        if is_transient(error):
            return Answer.UNKNOWN
        raise as_ours(join(output, name), error, WRITTEN) from error
    failpoint("created", name)
    return Answer.CREATED


def commit(output: str, name: str, data: bytes, patience: Patience = PATIENCE) -> bytes:
    """Create `name`, and return what it holds from now on: `data`, or what another had put there.

    Raises as `create`, and StoreError where the store does not tell before the deadline.
    """

    def attempt(seconds: float) -> bytes:
        if create(output, name, data, seconds) is Answer.CREATED:
            return data
        try:
            return fetch(join(output, name), seconds=seconds)
        except FileNotFoundError as error:
            raise TimeoutError("the store did not answer") from error

    return ask(join(output, name), attempt, patience, WRITTEN)


def tidy(output: str, run_id: str) -> None:
    """Take away the scratch files that killed writers left in a finished run; a disk alone has any.

    Whoever still writes to it is late: it finds its name taken.
    """
    if is_local(output):
        remove_scratch(output, run_id)
