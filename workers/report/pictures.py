"""Images as thumbnails that lie inside the page, or why there is none."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import (
    BucketsightError,
    ChangedSincePlanError,
    ForbiddenError,
    ImageError,
    NotFoundError,
)
from workers.ahead import Ahead, Budget
from workers.images import decode
from workers.source import Reader
from workers.store import Patience

SIDE = 224
"""Pixels of the longer side at most."""
SMALL = 96
"""Pixels: a picture whose longer side has fewer is made two, three … times as large."""
LARGEST = 14_000
"""Bytes, so that a page of all its pictures stays small; what is more is made again, coarser."""
QUALITIES = (80, 60, 40, 20)
READERS = 4
READ_SECONDS = 10.0
"""For one read of the store."""
PICTURE_SECONDS = 20.0
"""For one picture, however often its store is asked."""
ALL_SECONDS = 180.0
"""Pictures that nobody began to read by then are left out."""
BYTES_DECODED = 1 << 30


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail."""

    source: str = ""
    """`data:image/webp;base64,…`; "": there is none."""
    width: int = 0
    height: int = 0
    why: str = ""
    """Why there is none, in a few words."""


class Album:
    """Makes thumbnails of one job's images, several at a time."""

    def __init__(self, job: JobSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = Reader(job, Patience(READ_SECONDS))
        self._decoded = Budget(BYTES_DECODED)
        self._clock = clock
        self._until = clock() + ALL_SECONDS
        self._ahead: Ahead[ImageRef, Picture] = Ahead(
            self._picture, _never_ends, READERS, 2 * READERS, PICTURE_SECONDS, clock
        )

    def pictures(self, images: Iterable[ImageRef]) -> Iterator[Picture]:
        """One for each of `images`, in their order; what goes wrong is in the answer."""
        return self._ahead.in_order(images)

    def _picture(self, ref: ImageRef) -> Picture:
        if ref.failure:
            return Picture(why="its file could not be read when the run was planned")
        if self._clock() > self._until:
            return Picture(why="left out: the other pictures took too long to read")
        try:
            data = self._reader.read(ref)
            with ExitStack() as held:
                image = decode(data, lambda size: held.enter_context(self._decoded.hold(size)))
                return thumbnail(image)
        except BucketsightError as error:
            return Picture(why=_in_words(error))


def thumbnail(image: Image.Image) -> Picture:
    """`image`, an RGB one that nobody needs afterwards, no larger than SIDE and LARGEST."""
    times = SMALL // max(image.size)
    small = image if times < 2 else image.resize((image.width * times, image.height * times))
    data = b""
    for side in (SIDE, SIDE // 2):
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in QUALITIES:
            buffer = BytesIO()
            small.save(buffer, "WEBP", quality=quality)
            data = buffer.getvalue()
            if len(data) <= LARGEST:
                break
        if len(data) <= LARGEST:
            break
    return Picture(f"data:image/webp;base64,{b64encode(data).decode()}", *small.size)


def _never_ends(ref: ImageRef) -> Picture:
    return Picture(why=f"it was not read within {PICTURE_SECONDS:g} s")


def _in_words(error: BucketsightError) -> str:
    """Without the place, which stands beside it."""
    if isinstance(error, NotFoundError):
        return "the picture is gone since"
    if isinstance(error, ChangedSincePlanError):
        return "the file has changed since"
    if isinstance(error, ForbiddenError):
        return "no permission to read it from here"
    if isinstance(error, ImageError):
        return "no picture can be made of it"
    return "it cannot be read from here now"
