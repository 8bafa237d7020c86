"""One spelling for one place."""

from pathlib import Path

import pytest

from schemas.uri import canonical, is_local, join


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://bucket/folder/", "s3://bucket/folder"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a b#%é", "s3://bucket/a b#%é"),
        ("/data/photos/", "/data/photos"),
        ("/data/./x/../photos", "/data/photos"),
        ("file:///data/photos", "/data/photos"),
    ],
)
def test_spellings_of_one_place_are_one(given: str, expected: str) -> None:
    """Trailing slashes, dots and file:// make no other place."""
    assert canonical(given) == expected
    assert canonical(expected) == expected


def test_a_relative_path_is_that_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the same place from anywhere else."""
    monkeypatch.chdir(tmp_path)
    assert canonical("photos") == str(tmp_path / "photos")
    assert is_local("photos")
    assert not is_local("s3://photos")
    assert join("/", "a") == "/a"
