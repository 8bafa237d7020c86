"""The error tree."""

import re
from collections.abc import Iterator

from schemas import outcome
from schemas.outcome import BucketsightError, ErrorCode, ExitCode, Failure, ItemError


def concrete(kind: type) -> Iterator[type]:
    """The leaves of the tree under `kind`."""
    below = kind.__subclasses__()
    for child in below:
        yield from concrete(child)
    if not below:
        yield kind


def test_every_code_has_one_error_and_every_error_of_an_item_one_code() -> None:
    """Item errors and error codes are one to one."""
    codes = [leaf.code for leaf in concrete(ItemError)]  # type: ignore[attr-defined]
    assert sorted(codes) == sorted(ErrorCode)


def test_the_drawing_shows_every_error() -> None:
    """The tree at the top of the module is the module's tree."""
    drawn = set(re.findall(r"\w+Error\b", outcome.__doc__ or ""))
    leaves = [leaf for leaf in concrete(BucketsightError) if leaf.__module__ == outcome.__name__]
    assert {leaf.__name__ for leaf in leaves} <= drawn
    assert drawn <= set(vars(outcome))


def test_exit_codes() -> None:
    """Bad usage is 2, a store that is away 75, a damaged run folder 1."""
    assert outcome.PromptError.exit_code is ExitCode.USAGE == 2
    assert outcome.CheckpointError.exit_code is ExitCode.USAGE
    assert outcome.StoreError.exit_code is ExitCode.INTERRUPTED == 75
    assert outcome.ForeignPartError.exit_code is ExitCode.FAILED == 1


def test_a_failure_is_what_its_error_says() -> None:
    """A failed row tells the code and the sentence of the error."""
    failure = Failure.of(outcome.TruncatedError("the file ends early"))
    assert failure == Failure(ErrorCode.TRUNCATED, "the file ends early")
