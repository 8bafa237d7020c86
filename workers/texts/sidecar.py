"""Texts in files beside the images: `a/b.txt` of `a/b.jpg`."""

from __future__ import annotations

from PIL import Image

from schemas.image import ImageRef
from workers.source import Reader
from workers.tasks import Item
from workers.texts.base import SIDECAR

EXTENSION = ".txt"


class SidecarTexts:
    """A file of text beside each image; an image without one has no text."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def find(self, ref: ImageRef, image: Image.Image) -> Item:
        data = self._reader.read_beside(ref, EXTENSION)
        return Item() if data is None else Item(data.decode("utf-8-sig", "replace"), SIDECAR)
