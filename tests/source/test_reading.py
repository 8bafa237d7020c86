"""The bytes of a planned item, of just the planned version."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3fs

from schemas.image import ImageRef
from schemas.outcome import ErrorCode, ReadError
from tests.runs import job_spec, png, put
from tests.source.listings import reader
from workers.source import list_images


def planned(uri: str) -> ImageRef:
    """The item at `uri` as it is listed now."""
    (page,) = list_images(job_spec(uri))
    return page.images[0]


def failure(image: ImageRef) -> ErrorCode:
    with pytest.raises(ReadError) as caught:
        reader().read(image)
    assert image.uri in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("name", ["a.png", "b c#1%20 é\n?.png", "empty.png"])
def test_the_bytes_are_those_of_the_object(store: str, name: str) -> None:
    """What was put is read, whatever it is called."""
    data = b"" if name.startswith("empty") else png()
    put(store, name, data)
    assert reader().read(planned(f"{store}/{name}")) == data


def test_a_large_object_is_read_under_the_condition(bucket: str) -> None:
    """An object of many blocks, put in several parts, is read whole and is one version."""
    data = os.urandom(1 << 20) * 12
    s3fs.S3FileSystem().pipe_file(f"{bucket}/big.png", data, chunksize=5 << 20)
    image = planned(f"{bucket}/big.png")
    assert "-" in image.input_digest  # the ETag of an upload in parts
    assert reader().read(image) == data


def test_an_object_changed_since_the_plan_is_not_read(store: str) -> None:
    """Another version under the planned name is a failure of its own."""
    put(store, "a.png", png("red"))
    image = planned(f"{store}/a.png")
    put(store, "a.png", png("blue") + b"longer")
    assert failure(image) is ErrorCode.CHANGED_SINCE_PLAN


def test_an_object_deleted_since_the_plan_is_not_found(store: str) -> None:
    """An object that went is `not_found`."""
    put(store, "a.png", png())
    image = planned(f"{store}/a.png")
    filesystem, path = fsspec.url_to_fs(image.uri)
    filesystem.rm_file(path)
    assert failure(image) is ErrorCode.NOT_FOUND


def test_a_bucket_deleted_since_the_plan_is_not_found(bucket: str) -> None:
    """An object whose bucket went is `not_found` too."""
    image = ImageRef("s3://no-such-bucket/a.png", "s3://no-such-bucket/a.png", "etag:0", 1)
    assert failure(image) is ErrorCode.NOT_FOUND


def test_refused_credentials_are_forbidden(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 403 is `forbidden`."""
    put(bucket, "a.png", png())
    image = planned(f"{bucket}/a.png")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert failure(image) is ErrorCode.FORBIDDEN


def test_missing_credentials_are_forbidden(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine that finds none at all fails the item: it may be one machine of many, and a run in
    which every item fails so is stopped by its driver.
    """
    put(bucket, "a.png", png())
    image = planned(f"{bucket}/a.png")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    s3fs.S3FileSystem.clear_instance_cache()
    assert failure(image) is ErrorCode.FORBIDDEN


def test_a_file_without_permission_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a file that may not be opened."""
    put(str(tmp_path), "a.png", png())
    image = planned(str(tmp_path / "a.png"))

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert failure(image) is ErrorCode.FORBIDDEN


def test_a_store_that_never_answers_is_read_failed(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the deadline the item fails with `read_failed` and says what the store said."""
    put(bucket, "a.png", png())
    image = planned(f"{bucket}/a.png")

    async def stall(*arguments: Any, **options: Any) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", stall)
    assert failure(image) is ErrorCode.READ_FAILED


def test_a_passing_failure_costs_no_item(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails twice and then succeeds is a read."""
    put(bucket, "a.png", png())
    image = planned(f"{bucket}/a.png")
    real, failures = s3fs.S3FileSystem._call_s3, [ConnectionResetError(), TimeoutError()]

    async def flaky(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await real(*arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", flaky)
    assert reader().read(image) == png()


def test_a_server_without_conditions_is_seen_through(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where If-Match is ignored the version in the answer is compared."""
    put(bucket, "a.png", png("red"))
    image = planned(f"{bucket}/a.png")
    put(bucket, "a.png", png("blue"))
    real = s3fs.S3FileSystem._call_s3

    async def ignore(*arguments: Any, IfMatch: str, **options: Any) -> Any:
        assert IfMatch == '"' + image.input_digest.removeprefix("etag:") + '"'
        return await real(*arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", ignore)
    assert failure(image) is ErrorCode.CHANGED_SINCE_PLAN


def test_a_file_written_over_while_it_is_read_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is looked at after the last byte, on the file that was read."""
    path = tmp_path / "a.png"
    path.write_bytes(png())
    image = planned(str(path))
    real = os.fstat

    def write_first(descriptor: int) -> os.stat_result:
        path.write_bytes(png() + b"more")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", write_first)
    assert failure(image) is ErrorCode.CHANGED_SINCE_PLAN


def test_other_stores_compare_versions_too() -> None:
    """A store without conditional reads is looked at after reading."""
    put("memory://reading", "noextension", png())
    image = planned("memory://reading/noextension")
    assert reader().read(image) == png()
    assert failure(replace(image, input_digest="changed:1-then")) is ErrorCode.CHANGED_SINCE_PLAN


def test_without_a_version_what_is_there_is_read(store: str) -> None:
    """An item whose listing told no version has no condition."""
    put(store, "a.png", png())
    assert reader().read(replace(planned(f"{store}/a.png"), input_digest="")) == png()


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "loop"])
def test_what_is_no_file_is_a_bad_reference(tmp_path: Path, kind: str) -> None:
    """A manifest may name a pipe that nobody writes, or a device without end: neither is opened."""
    place = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "loop":
        place.symlink_to(place)
    uri = "/dev/zero" if kind == "device" else str(place)
    assert failure(ImageRef(uri, uri, "", None)) == ErrorCode.BAD_REFERENCE


def test_a_touch_tells_whether_there_is_anything_to_be_had(store: str) -> None:
    """Of an image that is there it is silent; of one that is gone it says what read does."""
    put(store, "a.png", png())
    image = planned(f"{store}/a.png")
    reader().touch(image)
    gone = replace(image, uri=f"{store}/b.png")
    with pytest.raises(ReadError) as caught:
        reader().touch(gone)
    assert caught.value.code == ErrorCode.NOT_FOUND
