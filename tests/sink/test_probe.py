"""A store is tried by several writers before it is trusted."""

from typing import Any

import pytest
import s3fs

from schemas.outcome import UsageError
from workers.sink import probe
from workers.store import list_pages


def test_a_sound_store_passes_and_keeps_nothing(store: str) -> None:
    """A disk and an S3 server pass, and no trace of the probe is left."""
    probe(store)
    assert [entry.uri for page in list_pages(store + "/") for entry in page] == []


def test_a_store_that_overwrites_is_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that ignores the condition lets a second writer in: no labels are trusted to it."""
    real = s3fs.S3FileSystem._call_s3

    async def ignore(*arguments: Any, IfNoneMatch: str = "", **options: Any) -> Any:
        return await real(*arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", ignore)
    with pytest.raises(UsageError, match="several writers"):
        probe(bucket)


def test_a_missing_bucket_is_bad_usage(bucket: str) -> None:
    """The probe is the first to meet an OUTPUT that does not exist."""
    with pytest.raises(UsageError, match="no such bucket"):
        probe("s3://no-such-bucket/out")
