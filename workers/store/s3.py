"""S3 and its likes, by their own requests: pages, conditions and ranges that fsspec hides."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from fsspec.asyn import sync

from schemas.outcome import ChangedSincePlanError
from workers.store import base
from workers.store.access import filesystem
from workers.store.base import Entry, Span, require_size, require_version, version_of
from workers.store.errors import client_errors, http_status
from workers.store.other import FsspecStore, call
from workers.store.patience import Patience

RANGE_BEYOND_THE_END = 416


class S3Store(FsspecStore):
    """Keys are taken as they are: nothing in them is escaped."""

    def __init__(self) -> None:
        super().__init__(creates=True)

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        token = ""
        while True:
            answer = patience(partial(_page, place, token))
            yield _entries(place, answer)
            if not answer.get("IsTruncated"):
                return
            token = answer["NextContinuationToken"]

    def entry(self, uri: str, seconds: float | None) -> Entry | None:
        # of the keys with a prefix, the prefix itself comes first
        first = _entries(uri, _page(uri, "", seconds))[:1]
        return first[0] if first and first[0].uri == uri else None

    def fetch(
        self,
        uri: str,
        version: str,
        seconds: float | None,
        span: Span | None,
        limit: int | None,
    ) -> bytes:
        if span is None:
            return _get(uri, version, seconds, limit=limit)[0]
        first, length = span
        # no range is empty, and the version is held even of no bytes: then one is asked for
        data, cut = _get(uri, version, seconds, f"bytes={first}-{first + max(length, 1) - 1}")
        return data[:length] if cut else data[first : first + length]

    def fetch_tail(self, uri: str, length: int, seconds: float | None) -> bytes:
        data, _ = _get(uri, "", seconds, f"bytes=-{length}")
        return data[-length:]


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def _page(place: str, token: str, seconds: float | None) -> Any:
    """The page after the one that gave `token`; "" for the first."""
    bucket, prefix = bucket_and_key(place)
    after = {"ContinuationToken": token} if token else {}
    return call(
        filesystem(place),
        "call_s3",
        "list_objects_v2",
        Bucket=bucket,
        Prefix=prefix,
        MaxKeys=base.PAGE,
        **after,
        timeout=seconds,
    )


def _entries(place: str, answer: Any) -> list[Entry]:
    root = place.partition("://")[0] + f"://{bucket_and_key(place)[0]}/"
    return [
        Entry(root + item["Key"], item["Size"], version_of(item))
        for item in answer.get("Contents", ())
    ]


def _get(
    uri: str, version: str, seconds: float | None, range: str = "", limit: int | None = None
) -> tuple[bytes, bool]:
    """The bytes of `range`, and whether the store cut them out: some give the whole in its place.

    None at all where the range lies beyond the end.
    """
    store = filesystem(uri)
    bucket, key = bucket_and_key(uri)
    conditions = {"IfMatch": f'"{version.removeprefix("etag:")}"'} if version else {}
    if range:
        conditions["Range"] = range

    async def get() -> tuple[str, bytes, bool]:
        answer = await store._call_s3("get_object", Bucket=bucket, Key=key, **conditions)
        async with answer["Body"] as body:
            require_size(uri, answer.get("ContentLength"), limit)
            return version_of(answer), await body.read(), "ContentRange" in answer

    try:
        found, data, cut = sync(store.loop, get, timeout=seconds)
    except client_errors() as error:
        if http_status(error) == 412:
            raise ChangedSincePlanError(f"{uri} changed since the plan: not {version}") from error
        if http_status(error) != RANGE_BEYOND_THE_END:
            raise
        found, data, cut = "", b"", True
    if version and not found:
        head = call(store, "call_s3", "head_object", Bucket=bucket, Key=key, timeout=seconds)
        found = version_of(head)
    require_version(uri, found, version)  # a server that knows no conditions
    return bytes(data), cut
