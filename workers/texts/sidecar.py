"""Texts in files beside the images: `a/b.txt` of `a/b.jpg`."""

from __future__ import annotations

import codecs

from PIL import Image

from schemas.image import ImageRef
from schemas.job import SIDECAR
from schemas.outcome import TooManyBytesError
from workers.source import Reader
from workers.source.webdataset import LONGEST_SIDECAR
from workers.tasks import Item


class SidecarTexts:
    """A file of text beside each image; an image without one has no text."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def find(self, ref: ImageRef, image: Image.Image) -> Item:
        data = self._reader.read_sidecar(ref)
        if data and len(data) > LONGEST_SIDECAR:
            raise TooManyBytesError(
                f"the text beside {ref.item_id} holds {len(data):,} bytes; no more than "
                f"{LONGEST_SIDECAR:,} are read as an image's"
            )
        return Item() if data is None else Item(_text(data), SIDECAR)


def _text(data: bytes) -> str:
    """UTF-8, or UTF-16 where the file begins with its mark, as some editors write it."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if marked else "utf-8-sig", "replace")
