"""One boundary: the bytes of an image file in, an upright RGB image or a typed error out.

It is one function of bytes, so that it can move into a process of its own. The first frame of an
animation counts. Nothing here depends on the file's name.
"""

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from schemas.outcome import (
    DecodeFailedError,
    EmptyFileError,
    NotAnImageError,
    OutOfMemoryError,
    TooManyPixelsError,
    TruncatedError,
)
from workers.images.formats import FORMATS
from workers.images.quiet import quiet

BYTES_A_PIXEL = 11
"""At most at once: as decoded (4), as RGBA over white (4), as RGB (3)."""
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, reserve: Callable[[int], object] = lambda _: None) -> Image.Image:
    """The image in `data`: mode RGB, EXIF orientation applied, transparency over white.

    Before its pixels are touched `reserve` is told the bytes that they take at most, and may wait,
    so that several decoders can share a bound. What is returned takes a part of these.

    Raises EmptyFileError, NotAnImageError, TruncatedError, TooManyPixelsError, DecodeFailedError or
    OutOfMemoryError.
    """
    if not data:
        raise EmptyFileError("the file is empty")
    if not format_of(data):
        raise NotAnImageError(f"not an image: no known format begins with {data[:8].hex(' ')}")
    reader = _Reader(data)
    try:
        with quiet():
            image = Image.open(reader, formats=tuple(FORMATS))
            reader.opened()
            reserve(image.width * image.height * BYTES_A_PIXEL)
            image.load()
            return to_rgb(image)
    except Image.DecompressionBombError as error:  # 178,956,970 pixels, 512 MiB as RGB
        raise TooManyPixelsError(str(error)) from error
    except MemoryError as error:
        raise OutOfMemoryError("there is no memory to decode it") from error
    # Pillow's parsers raise whatever they trip over: OSError, SyntaxError, struct.error, KeyError …
    except Exception as error:
        if reader.ended_early or _is_shorter_than_declared(data):
            raise TruncatedError(f"the file ends early, after {len(data):,} bytes") from error
        raise DecodeFailedError(f"damaged image: {_complaint(error)}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """What a person sees of `image`, of any mode, as plain RGB: upright, transparency over white.

    A copy, without EXIF data, so that a second time changes nothing.
    """
    upright = _upright(image, _opaque(image))
    upright.info.clear()  # Pillow's copies keep it, the orientation that is applied by now included
    return upright


def _complaint(error: Exception) -> str:
    """What Pillow says, without the address in memory that stands for a file without a name."""
    if isinstance(error, UnidentifiedImageError):
        return "it begins like one, and its header cannot be read"
    return f"{type(error).__name__}: {error}"


class _Reader(io.BytesIO):
    """A file that notices when its decoder asks for more than there is."""

    ended_early = False
    _open = False

    def opened(self) -> None:
        """The header is read: from here on blocks are asked for, of which the last may be short."""
        self._open = True
        self.ended_early = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        wanted = size if size is not None and size > 0 else 0
        if (not data and wanted) or (not self._open and len(data) < wanted):
            self.ended_early = True
        return data


def format_of(data: bytes) -> str:
    """Which of FORMATS begins as `data` does; "": none of them."""
    Image.init()
    known = (name for name in FORMATS if Image.OPEN[name][1](data[:16]))  # type: ignore[misc]
    return next(known, "")


def _is_shorter_than_declared(data: bytes) -> bool:
    """Whether a container that tells its length (WebP, AVIF, JPEG 2000) is longer than `data`."""
    if data[:4] == b"RIFF":
        return len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data[4:8] not in (b"ftyp", b"jP  "):
        return False
    position = 0
    while position + 8 <= len(data):  # ISO boxes: size, name, content
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 0:  # reaches to the end, wherever that is
            return False
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        position += max(size, 8)
    return position != len(data)


def _opaque(image: Image.Image) -> Image.Image:
    """A plain RGB copy; what is transparent shows white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_bytes(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(canvas, layer).convert("RGB")
    return image.convert("RGB")


def _to_bytes(image: Image.Image) -> Image.Image:
    """One channel of 16 bits, or of floats in 0…1 or 0…255, as 8 bits: Pillow would clip at 255."""
    values = np.array(image, dtype=np.float32)
    if image.mode != "F":
        values /= np.float32(256)  # the upper of two bytes
    elif np.nanmax(values) <= 1:
        values *= np.float32(255)
    return Image.fromarray(np.nan_to_num(values).clip(0, 255).astype(np.uint8))


def _upright(source: Image.Image, image: Image.Image) -> Image.Image:
    """`image` turned as the EXIF data of `source` says; damaged EXIF data says nothing."""
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG)
    except (SyntaxError, struct.error):
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)
