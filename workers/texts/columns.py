"""Texts that INPUT says beside its images."""

from __future__ import annotations

from PIL import Image

from schemas.image import ImageRef
from schemas.job import TEXT_COLUMN
from schemas.passed import said_under
from workers.tasks import Item


class ColumnTexts:
    """A column of a table or manifest; the `txt` of a WebDataset's sample."""

    def __init__(self, column: str) -> None:
        self._column = column

    def find(self, ref: ImageRef, image: Image.Image) -> Item:
        text = said_under(ref.columns, self._column)
        return Item(text, f"{TEXT_COLUMN}{self._column}") if text else Item()


class NoTexts:
    """Where nobody reads any."""

    def find(self, ref: ImageRef, image: Image.Image) -> Item:
        return Item()
