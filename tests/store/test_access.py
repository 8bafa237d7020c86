"""How a store is reached."""

import sys

import pytest
import s3fs

from schemas.outcome import UsageError
from workers.store import filesystem


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without s3fs an s3:// URI says what to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UsageError, match="pip install s3fs"):
        filesystem("s3://bucket/key")


@pytest.mark.parametrize("uri", ["ftp://host/in", "github://owner/in"])
def test_a_store_that_wants_more_than_a_uri_is_refused(uri: str) -> None:
    """A store that needs a host or a repository to be made is bad usage, named with the way out."""
    with pytest.raises(UsageError, match=f"{uri}.*copy the files"):
        filesystem(uri)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("AWS_ENDPOINT_URL_S3", "localhost:8333", "localhost:8333.*http://"),
        ("AWS_PROFILE", "no-such-profile", "no-such-profile"),
    ],
)
def test_settings_that_make_no_client_are_bad_usage(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint without http://, and a profile that is nowhere, are said in a sentence."""
    monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UsageError, match=sentence):
        filesystem("s3://bucket/key")


def test_an_unknown_scheme_is_refused() -> None:
    """A scheme that no store has is bad usage."""
    with pytest.raises(UsageError, match="nonsense://"):
        filesystem("nonsense://bucket")
