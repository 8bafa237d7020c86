"""The pictures of a yardstick, one by one."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from schemas.outcome import ImageError, UsageError
from workers.images import decode


def read_picture(path: Path) -> Image.Image:
    """RGB, upright. A yardstick with a broken picture measures nothing, so it is refused.

    Raises:
        UsageError: the file cannot be read, or is no whole image.
    """
    try:
        return decode(path.read_bytes())
    except (OSError, ImageError) as error:
        raise UsageError(f"{path} cannot be read as a picture: {error}") from error
