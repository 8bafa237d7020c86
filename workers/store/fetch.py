"""One object's bytes, on condition that they are the version asked for."""

import os
from typing import Any

from fsspec.asyn import sync

from schemas.outcome import ChangedSincePlanError
from schemas.uri import is_local
from workers.store.access import bucket_and_key, client_errors, filesystem, http_status, scheme_of
from workers.store.listing import local_version, version_of


def fetch(uri: str, version: str = "", seconds: float | None = None) -> bytes:
    """All bytes of the object, of `version` as `Entry.version` has it ("" for whichever is there).

    Raises ChangedSincePlanError where the object is another version by now; else what the store's
    client raises, TimeoutError after `seconds` included.
    """
    if is_local(uri):
        return _fetch_local(uri, version)
    if scheme_of(uri) in ("s3", "s3a"):
        return _fetch_s3(uri, version, seconds)
    return _fetch_other(uri, version)


def _require(uri: str, found: str, version: str) -> None:
    if version and found != version:
        raise ChangedSincePlanError(f"{uri} changed since the plan: {version} is now {found}")


def _fetch_local(path: str, version: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
        # after reading: a file written over meanwhile has another time, a file replaced by another
        # of its name leaves this one as it was
        _require(path, local_version(os.fstat(file.fileno())), version)
    return data


def _fetch_s3(uri: str, version: str, seconds: float | None) -> bytes:
    store = filesystem(uri)
    bucket, key = bucket_and_key(uri)
    etag = version.removeprefix("etag:")
    condition = {"IfMatch": f'"{etag}"'} if etag else {}

    async def get() -> tuple[str, bytes]:
        answer = await store._call_s3("get_object", Bucket=bucket, Key=key, **condition)
        async with answer["Body"] as body:
            return version_of(answer), await body.read()

    try:
        found, data = sync(store.loop, get, timeout=seconds)
    except client_errors() as error:
        if http_status(error) == 412:
            raise ChangedSincePlanError(f"{uri} changed since the plan: not {version}") from error
        raise
    _require(uri, found, version)  # a server that knows no conditions
    return bytes(data)


def _fetch_other(uri: str, version: str) -> bytes:
    store: Any = filesystem(uri)
    data: bytes = store.cat_file(uri)
    if version:  # looked at afterwards: versions do not come back
        _require(uri, version_of(store.info(uri)), version)
    return data
