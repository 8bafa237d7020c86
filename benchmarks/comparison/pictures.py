"""The pictures of a comparison: the same for all systems, read by those without Ray in one way."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

from schemas.outcome import ImageError, UsageError
from workers.images import decode, resize

READERS = 8
WINDOW = 64
"""Pictures that are read ahead at most."""


def repeat(source: Path, count: int, into: Path) -> None:
    """`count` whole pictures under new names in the new folder `into`: those of `source`, in turns.

    Raises:
        UsageError: `source` is no folder, or holds no whole picture.
    """
    if not source.is_dir():
        raise UsageError(f"there is no folder of pictures {source}")
    good = [path for path in sorted(source.iterdir()) if path.is_file() and _is_whole(path)]
    if not good:
        raise UsageError(f"{source} holds no whole picture")
    into.mkdir()
    for number, path in enumerate(islice(cycle(good), count)):
        shutil.copyfile(path, into / f"{number:06d}{path.suffix}")


def read_ahead(paths: Sequence[Path], side: int) -> Iterator[Image.Image]:
    """The pictures at side², in their order, read and decoded by threads ahead of who asks."""
    with ThreadPoolExecutor(READERS) as readers:
        left = iter(paths)
        ahead: deque[Future[Image.Image]] = deque(
            readers.submit(_read, path, side) for path in islice(left, WINDOW)
        )
        while ahead:
            picture = ahead.popleft().result()
            ahead.extend(readers.submit(_read, path, side) for path in islice(left, 1))
            yield picture


def _read(path: Path, side: int) -> Image.Image:
    return resize(decode(path.read_bytes()), side)


def _is_whole(path: Path) -> bool:
    try:
        decode(path.read_bytes())
    except (ImageError, OSError):
        return False
    return True
