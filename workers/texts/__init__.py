"""The text that belongs to an image, such as a meme's: where it stands, and how it is had.

base.py      what finds a text, and what is said of it on a command line
columns.py   a column of INPUT
sidecar.py   a `.txt` file beside the image
ocr.py       the image itself
"""

from __future__ import annotations

from schemas.job import SIDECAR, TEXT_COLUMN, JobSpec
from schemas.outcome import UsageError
from workers.source import Reader
from workers.texts.base import NONE, OCR, TextFinder, resolve_text, spelt
from workers.texts.columns import ColumnTexts, NoTexts
from workers.texts.sidecar import SidecarTexts

__all__ = ["TextFinder", "resolve_text", "spelt", "text_finder"]


def text_finder(job: JobSpec, reader: Reader) -> TextFinder:
    """What finds the texts of `job`'s images.

    Raises UsageError where that needs a package which is not installed.
    """
    if job.text.startswith(TEXT_COLUMN):
        return ColumnTexts(job.text.removeprefix(TEXT_COLUMN))
    if job.text == SIDECAR:
        return SidecarTexts(reader)
    if spelt(job.text) == OCR:
        from workers.texts.ocr import OcrTexts  # takes long to import

        return OcrTexts()
    if job.text in ("", NONE):
        return NoTexts()
    raise UsageError(f"texts are found in a column, in a sidecar or by ocr, not in {job.text!r}")
