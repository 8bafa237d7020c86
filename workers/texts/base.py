"""What finds a text, and what is said of it on a command line."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from PIL import Image

from schemas.image import ImageRef, InputFormat
from schemas.job import SIDECAR, TEXT_COLUMN
from schemas.outcome import UsageError
from workers.tasks import Item

OCR, NONE = "ocr", "none"
READER = "rapidocr"

USUAL = {
    InputFormat.IMAGES: SIDECAR,
    InputFormat.WEBDATASET: f"{TEXT_COLUMN}txt",
    InputFormat.PARQUET: f"{TEXT_COLUMN}text",
    InputFormat.CSV: f"{TEXT_COLUMN}text",
    InputFormat.JSONL: f"{TEXT_COLUMN}text",
}
"""Where a text is looked for of which nobody says where it is."""


class TextFinder(Protocol):
    """Finds the text of one image after the other, for many threads."""

    def find(self, ref: ImageRef, image: Image.Image) -> Item:
        """The text of `ref`, of which `image` is the decoded one, and where it was found.

        Raises ItemError where it is there and cannot be had.
        """
        ...


def resolve_text(asked: str | None, kind: InputFormat) -> str:
    """What `--text` means for an INPUT of this kind.

    Raises UsageError where there is no such place.
    """
    if asked is None:
        return USUAL[kind]
    if spelt(asked) == OCR:
        return _with_version(asked)
    if asked == SIDECAR and kind in (InputFormat.WEBDATASET, InputFormat.PARQUET):
        raise UsageError(
            f"--text {SIDECAR}: nothing lies beside an image in a tar or a Parquet file; what is "
            f"said of it there is a column, as in --text {USUAL[kind]}"
        )
    if asked in (SIDECAR, NONE) or asked.removeprefix(TEXT_COLUMN) not in ("", asked):
        return asked
    raise UsageError(f"--text {asked!r}: one of column:NAME, {SIDECAR}, {OCR}, {NONE}")


def spelt(text: str) -> str:
    """What `--text` says for a job's `text`: other versions of a reader may read other texts, so
    that a job holds which it is.
    """
    return OCR if text.startswith(f"{OCR}:") else text


def _with_version(asked: str) -> str:
    """`ocr:VERSION` of the reader that is installed; of an earlier job it must be the same."""
    try:
        here = f"{OCR}:{version(READER)}"
    except PackageNotFoundError as error:
        raise UsageError(
            f"--text {OCR} needs the package {READER}, which is not installed: pip install "
            f"{READER} onnxruntime, on every machine of the cluster"
        ) from error
    if asked not in (OCR, here):
        raise UsageError(f"texts were read with {asked} there and would be with {here} here")
    return here
