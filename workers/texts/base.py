"""What finds a text, and what is said of it on a command line."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

from PIL import Image

from schemas.image import ImageRef, InputFormat
from schemas.job import TEXT_COLUMN
from schemas.outcome import UsageError
from workers.tasks import Item

SIDECAR, OCR, NONE = "sidecar", "ocr", "none"

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
    if asked == OCR and find_spec("rapidocr") is None:
        raise UsageError(
            "--text ocr needs the package rapidocr, which is not installed: pip install rapidocr "
            "onnxruntime, on every machine of the cluster"
        )
    if asked == SIDECAR and kind == InputFormat.WEBDATASET:
        raise UsageError(
            f"--text {SIDECAR}: nothing lies beside an image in a tar; the .txt of its sample is "
            f"--text {TEXT_COLUMN}txt"
        )
    if asked in (SIDECAR, OCR, NONE) or asked.removeprefix(TEXT_COLUMN) not in ("", asked):
        return asked
    raise UsageError(f"--text {asked!r}: one of column:NAME, {SIDECAR}, {OCR}, {NONE}")
