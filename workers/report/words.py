"""What codes and states mean, in plain words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_never

from schemas.outcome import ErrorCode
from workers.inspection import RunStatus, State

WHY = {
    ErrorCode.NOT_FOUND: "The file was listed and was gone when it was to be read.",
    ErrorCode.FORBIDDEN: "The store refused to give this file out.",
    ErrorCode.CHANGED_SINCE_PLAN: "The file was written over after it was listed. "
    "A later run looks at the new version.",
    ErrorCode.READ_FAILED: "The store did not deliver the file in time, again and again.",
    ErrorCode.TOO_MANY_BYTES: "The file is larger than any image that is read.",
    ErrorCode.BAD_REFERENCE: "A row names no image that may be read: nothing, a folder, or a place "
    "outside of INPUT's own.",
    ErrorCode.BROKEN_CONTAINER: "A tar, a Parquet file or a manifest is damaged: what lies behind "
    "the damage could not even be listed.",
    ErrorCode.EMPTY_FILE: "The file holds no bytes at all.",
    ErrorCode.NOT_AN_IMAGE: "The file is called like an image and is none: its first bytes are of "
    "no format that is known.",
    ErrorCode.TRUNCATED: "The image ends before its last row, as after a copy that was cut short.",
    ErrorCode.TOO_MANY_PIXELS: "The image says that it has more pixels than are decoded.",
    ErrorCode.DECODE_FAILED: "The image is damaged inside: its format is known, its content makes "
    "no sense.",
    ErrorCode.OUT_OF_MEMORY: "There was not enough memory for this image, even alone.",
    ErrorCode.MODEL_FAILED: "The model raised an error at this image.",
    ErrorCode.REPLICA_CRASHED: "The process that looked at this image died, again and again, and "
    "did with no other one.",
    ErrorCode.TIMED_OUT: "Reading this image, or looking at it, did not come to an end.",
}


def state_in_words(status: RunStatus) -> str:
    """How the run ended, or how far it is."""
    planned = status.images is not None and status.owed is not None
    images, owed = status.images or 0, status.owed or 0
    share = 100 * (images - owed) // max(images, 1)
    match status.state:
        case State.FINISHED:
            return "complete" if images else "complete, nothing to do"
        case State.PRUNED:
            return "complete, pruned"
        case State.PLANNING:
            return "being planned"
        case State.WORKING:
            return f"under way, {share} % done"
        case State.STOPPED:
            return f"stopped, {share} % done" if planned else "stopped before it was planned"
        case State.NOT_STARTED:
            return "not started"
        case _:
            assert_never(status.state)


def period(first: float, last: float) -> str:
    """`20 November 2026, 18:02 to 18:04 UTC`; both are seconds since 1970."""
    begin, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    day = f"{begin.day} {begin:%B %Y}, {begin:%H:%M}"
    if f"{begin:%Y-%m-%d %H:%M}" == f"{end:%Y-%m-%d %H:%M}":
        return f"{day} UTC"
    if begin.date() == end.date():
        return f"{day} to {end:%H:%M} UTC"
    return f"{day} to {end.day} {end:%B %Y}, {end:%H:%M} UTC"
