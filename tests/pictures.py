"""Small pictures that differ, and files that are none."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, width: int = 40, height: int = 30) -> bytes:
    """A PNG of big coloured squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(squares).resize((width, height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_pictures(folder: Path, count: int, first: int = 0) -> list[Path]:
    """`count` pictures in `folder`, numbered from `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"picture-{number:04d}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        path.write_bytes(picture(number))
    return paths


def write_broken(folder: Path) -> dict[str, Path]:
    """One file for each way in which a file is no image: error code → path."""
    whole = picture(1)
    broken = {
        "empty_file": b"",
        "not_an_image": b"this is a text",
        "truncated": whole[: len(whole) // 2],
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {code: folder / f"broken-{code}.png" for code in broken}
    for code, path in paths.items():
        path.write_bytes(broken[code])
    return paths
