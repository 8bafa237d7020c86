"""Outages told from failures of single images."""

import pytest

from schemas.outcome import (
    DeviceOutageError,
    ErrorCode,
    ExitCode,
    Failure,
    OutageError,
    StoreOutageError,
)
from workers.outage import FAILURES_IN_A_ROW, OUTAGES, OutageWatch


def failure(code: ErrorCode) -> Failure:
    return Failure(code, "no permission")


@pytest.mark.parametrize("code", OUTAGES)
def test_200_failures_of_one_code_are_an_outage(code: ErrorCode) -> None:
    """The last one raises, with the code, the reason and the exit code of its kind."""
    watch = OutageWatch(lambda _: False)
    watch.saw([failure(code)] * (FAILURES_IN_A_ROW - 1))
    assert watch.suspicious
    with pytest.raises(
        OutageError, match=f"200 images in a row failed .*with {code}: no perm"
    ) as it:
        watch.saw([failure(code)])
    store = code in (ErrorCode.FORBIDDEN, ErrorCode.READ_FAILED)
    assert type(it.value) is (StoreOutageError if store else DeviceOutageError)
    assert it.value.exit_code == (ExitCode.INTERRUPTED if store else ExitCode.FAILED)


@pytest.mark.parametrize(
    "between", [None, failure(ErrorCode.NOT_AN_IMAGE), failure(ErrorCode.MODEL_FAILED)]
)
def test_anything_else_in_between_begins_the_count_anew(between: Failure | None) -> None:
    """A success, a failure that is an image's own, or one of the device after the store's."""
    watch = OutageWatch(lambda _: False)
    for _ in range(3):
        watch.saw([failure(ErrorCode.FORBIDDEN)] * (FAILURES_IN_A_ROW - 1))
        watch.saw([between])
    assert watch.suspicious == (between is not None and between.error_code in OUTAGES)


def test_a_store_may_fail_in_several_ways_at_once() -> None:
    """Refusals and timeouts in turn are one outage."""
    watch = OutageWatch(lambda _: False)
    either = [failure(ErrorCode.FORBIDDEN), failure(ErrorCode.READ_FAILED)]
    with pytest.raises(StoreOutageError):
        watch.saw(either * (FAILURES_IN_A_ROW // 2))


def test_an_image_that_works_still_makes_failures_the_images_own() -> None:
    """A forbidden folder of any size is no outage while another image can be labelled again."""
    asked = []
    watch = OutageWatch(lambda _: asked.append(None) is None)
    watch.saw([failure(ErrorCode.FORBIDDEN)] * 5 * FAILURES_IN_A_ROW)
    assert len(asked) == 5
    assert not watch.suspicious


@pytest.mark.parametrize("works", [True, False, None])
def test_at_the_end_few_failures_tell_an_outage_too(works: bool | None) -> None:
    """Where an image that was labelled fails by now; where none was, they are the images' own."""
    watch = OutageWatch(lambda _: works)
    watch.saw([None, failure(ErrorCode.READ_FAILED)])
    if works is False:
        with pytest.raises(StoreOutageError, match=r"1 images in a row failed .*with read_failed"):
            watch.settle()
    else:
        watch.settle()


def test_a_good_end_asks_nothing() -> None:
    """Where the last image was labelled, or failed by itself, there is nothing to look at again."""

    def asked(_: object) -> bool:
        raise AssertionError("looked at again")

    watch = OutageWatch(asked)
    watch.settle()
    watch.saw([failure(ErrorCode.READ_FAILED), failure(ErrorCode.TRUNCATED)])
    watch.settle()
