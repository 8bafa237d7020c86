"""All systems get the same pictures, whole ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison.pictures import WINDOW, read_ahead, repeat
from schemas.outcome import UsageError
from tests.pictures import write_broken, write_pictures
from workers.images import decode, resize


def test_whole_pictures_in_turns(tmp_path: Path) -> None:
    """Broken files are left out, the others repeated under names that keep their order."""
    write_broken(tmp_path / "some")
    first, second = write_pictures(tmp_path / "some", 2)
    (tmp_path / "some" / "folder").mkdir()
    repeat(tmp_path / "some", 5, tmp_path / "images")
    made = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in made] == [f"{number:06d}.png" for number in range(5)]
    assert [path.read_bytes() for path in made] == [
        source.read_bytes() for source in (first, second, first, second, first)
    ]


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no folder"), ("some", "no whole picture")])
def test_without_pictures_there_is_no_comparison(name: str, said: str, tmp_path: Path) -> None:
    """A folder that is missing, or of broken files alone, is refused."""
    write_broken(tmp_path / "some")
    with pytest.raises(UsageError, match=said):
        repeat(tmp_path / name, 5, tmp_path / "images")


def test_reading_ahead_keeps_the_order(tmp_path: Path) -> None:
    """More pictures than are read ahead come in their order, at the side that was asked for."""
    paths = write_pictures(tmp_path, WINDOW + 9)
    seen = list(read_ahead(paths, 28))
    assert len(seen) == len(paths)
    for path, picture in zip(paths, seen, strict=True):
        assert np.array_equal(picture, resize(decode(path.read_bytes()), 28))
