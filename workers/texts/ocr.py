"""Texts read from the images themselves, by the small models that come inside `rapidocr`.

    image ─scale down→ detect → boxes ─in rows→ cut out → recognise → text

They know Latin, Chinese and Japanese script, and little else.
"""

from __future__ import annotations

from math import ceil, dist
from pathlib import Path
from socket import gethostname
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.image import ImageRef
from schemas.outcome import ModelFailedError, OutOfMemoryError, UsageError
from workers.tasks import Item
from workers.texts.base import OCR
from workers.threads import Threads

MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
"""By their names: rapidocr downloads what is not named and missing."""
READ_SIDE = 1920
DETECTED_SIDE = 736
"""The longer side in pixels, at most, of what texts are cut from, and of what they are found in."""
MOST_BOXES = 32
"""So many are read, from the top: enough for a screen of text, and an end to a page's."""
LEAST_CONFIDENCE = 0.7
"""The mean probability of a box's characters under which it is left out."""
LEAST_CHARACTERS = 2
"""Letters and digits of a row. A wheel is read as O, crossed lines as 4, lit windows as dots, and
all of them with confidence.
"""

Box = npt.NDArray[np.float32]
"""Corners of a text, x and y in pixels: its top left, top right, bottom right and bottom left."""


class OcrTexts:
    """Reads one image at a time, in a thread of its own, whoever asks.

    Raises UsageError where `rapidocr` or `onnxruntime` is missing, or not as it is locked.
    """

    def __init__(self) -> None:
        try:
            self._detect, self._recognise = _engine(finds=True), _engine(finds=False)
        except (ImportError, FileNotFoundError) as error:
            raise UsageError(
                f"{gethostname()} cannot read texts from images ({_complaint(error)}): install "
                "rapidocr and onnxruntime there, in the versions of requirements.lock"
            ) from error
        # A thread keeps the memory that an image took, up to 0.25 GB: eight of them would keep 2.
        self._thread = Threads(1, "ocr")

    def find(self, ref: ImageRef, image: Image.Image) -> Item:
        """What is written in `image`, row after row, joined by spaces.

        Raises ModelFailedError or OutOfMemoryError.
        """
        try:
            rows = self._thread.submit(self._rows, image).result()
        except MemoryError as error:
            raise OutOfMemoryError("there is no memory to read its text") from error
        # OpenCV, onnxruntime and rapidocr have errors of their own, and raise Python's too.
        except Exception as error:
            raise ModelFailedError(f"its text cannot be read: {_complaint(error)}") from error
        return Item(" ".join(rows), OCR) if rows else Item()

    def _rows(self, image: Image.Image) -> list[str]:
        image = _scaled_down(image)
        boxes = self._detect(image).boxes
        if boxes is None:
            return []
        rows, left = [], MOST_BOXES
        for row in _in_rows(boxes):
            read = [self._read(_cut_out(image, box)) for box in row[:left]]
            left -= len(read)
            rows.append(" ".join(filter(None, read)))
        return [row for row in rows if sum(map(str.isalnum, row)) >= LEAST_CHARACTERS]

    def _read(self, line: Image.Image) -> str:
        """The text of a picture of one line, "" where it is none."""
        found = self._recognise(line)
        (text,), (confidence,) = found.txts, found.scores
        # Latin letters may come in the full width of Chinese ones.
        return normalize("NFKC", text).strip() if confidence >= LEAST_CONFIDENCE else ""


def _engine(*, finds: bool) -> Any:
    """What finds the boxes of an image, or else what reads one; loaded.

    Raises ImportError or FileNotFoundError.
    """
    import cv2
    import rapidocr

    cv2.setNumThreads(1)
    folder = Path(rapidocr.__file__).parent / "models"
    engine = rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_det": finds,
            "Global.use_cls": False,
            "Global.use_rec": not finds,
            "Global.use_preprocess_img": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECTED_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            **{f"{part}.model_path": str(folder / name) for part, name in MODELS.items()},
        }
    )
    engine(Image.new("RGB", (64, 64)))  # nothing is loaded before it is used
    return engine


def _scaled_down(image: Image.Image) -> Image.Image:
    scale = READ_SIDE / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2)


def _in_rows(boxes: npt.NDArray[np.float32]) -> list[list[Box]]:
    """Rows from the top down, the boxes of each from left to right; `boxes` is (n, 4, 2)."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=_middle):
        if rows and _are_beside(rows[-1][0], box):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [sorted(row, key=lambda box: float(box[:, 0].min())) for row in rows]


def _are_beside(one: Box, other: Box) -> bool:
    return abs(_middle(one) - _middle(other)) < min(_height(one), _height(other)) / 2


def _middle(box: Box) -> float:
    return float(box[:, 1].mean())


def _height(box: Box) -> float:
    return dist(box[0], box[3])


def _cut_out(image: Image.Image, box: Box) -> Image.Image:
    """What is in `box`, straight; one much higher than wide is a line that runs downwards."""
    width, height = ceil(dist(box[0], box[1])), ceil(_height(box))
    corners = box[[0, 3, 2, 1]].ravel().tolist()
    cut = image.transform(
        (width, height), Image.Transform.QUAD, corners, resample=Image.Resampling.BICUBIC
    )
    return cut.transpose(Image.Transpose.ROTATE_90) if height >= 1.5 * width else cut


def _complaint(error: BaseException) -> str:
    """What went wrong first, without the tracebacks that rapidocr makes a message of."""
    while error.__cause__:
        error = error.__cause__
    said = str(error).splitlines()
    return said[0] if said else type(error).__name__
