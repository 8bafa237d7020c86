"""What lies under a place, page by page, with the version of each object."""

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from schemas.outcome import UsageError
from schemas.uri import canonical, is_local
from workers.store.access import bucket_and_key, filesystem, scheme_of

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as listed."""

    uri: str
    size_bytes: int | None
    version: str
    """As in ImageRef.input_digest."""
    is_file: bool = True
    """False for a link to a folder, a dangling link, a socket and their like."""


def list_pages(place: str) -> Iterator[list[Entry]]:
    """Every object whose URI begins with `place`, in pages, in the store's own order.

    On S3 `place` is any prefix; elsewhere it is a folder, with or without a trailing slash, and all
    below it is listed. Raises FileNotFoundError where there is no such bucket or folder, else what
    the store's client raises.
    """
    if is_local(place):
        return _local_pages(place)
    if scheme_of(place) in ("s3", "s3a"):
        return _s3_pages(place)
    return _folder_pages(place)


def entry_at(uri: str) -> Entry | None:
    """The file called just `uri`, or None: there is none."""
    if is_local(uri):
        if not os.path.isfile(uri):
            return None
        stat = os.stat(uri)
        return Entry(uri, stat.st_size, local_version(stat))
    if scheme_of(uri) in ("s3", "s3a"):  # of the keys with a prefix, the prefix itself comes first
        first = next(_s3_pages(uri), [])[:1]
        return first[0] if first and first[0].uri == uri else None
    try:
        info = filesystem(uri).info(uri)
    except FileNotFoundError:
        return None
    return Entry(uri, info.get("size"), version_of(info)) if info["type"] == "file" else None


def folders(place: str) -> list[str]:
    """The names of the folders right under the folder `place`; none where there is none."""
    store = filesystem(place)
    try:
        entries = store.ls(canonical(place), detail=True)
    except FileNotFoundError:
        return []
    return [os.path.basename(e["name"].rstrip("/")) for e in entries if e["type"] == "directory"]


def version_of(info: Mapping[str, Any]) -> str:
    """The version that an object store's answer tells, "" where it tells none."""
    etag = info.get("ETag") or info.get("etag")
    if "generation" in info:
        return f"generation:{info['generation']}"
    md5 = (info.get("content_settings") or {}).get("content_md5")
    if md5:
        return f"md5:{bytes(md5).hex()}"
    if etag:
        return "etag:" + str(etag).strip('"')
    changed = info.get("mtime") or info.get("LastModified") or info.get("created")
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return f"changed:{info.get('size')}-{changed}" if changed else ""


def local_version(stat: os.stat_result) -> str:
    """Size and modification time of a local file."""
    return f"mtime:{stat.st_size}-{stat.st_mtime_ns}"


def _s3_pages(place: str) -> Iterator[list[Entry]]:
    store = filesystem(place)
    bucket, prefix = bucket_and_key(place)
    root = place.partition("://")[0] + f"://{bucket}/"
    token: dict[str, str] = {}
    while True:
        answer = store.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **token
        )
        yield [
            Entry(root + item["Key"], item["Size"], version_of(item))
            for item in answer.get("Contents", ())
        ]
        if not answer.get("IsTruncated"):
            return
        token = {"ContinuationToken": answer["NextContinuationToken"]}


def _local_pages(place: str) -> Iterator[list[Entry]]:
    entries = _walk(canonical(place))
    while page := list(islice(entries, PAGE)):
        yield page


def _walk(root: str) -> Iterator[Entry]:
    """Folders before what lies deeper; links to files are followed, links to folders are not."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        waiting.append(item.path)
                    elif (entry := _local_entry(item)) is not None:
                        yield entry
        except PermissionError as error:
            raise UsageError(f"no permission to list the folder {folder}") from error
        except FileNotFoundError:
            if folder == root:
                raise  # a folder that went while we walked is no longer there to be listed


def _local_entry(item: os.DirEntry[str]) -> Entry | None:
    """None for a file that is gone already."""
    try:
        if not item.is_file():
            return Entry(item.path, None, "", is_file=False)
        stat = item.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:  # links that lead to each other lead to no file
            raise
        return Entry(item.path, None, "", is_file=False)
    return Entry(item.path, stat.st_size, local_version(stat))


def _folder_pages(place: str) -> Iterator[list[Entry]]:
    store = filesystem(place)
    root = canonical(place)
    stem = store._strip_protocol(root).rstrip("/")  # as the store's own names begin
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        page = []
        for info in store.ls(folder, detail=True):
            uri = root + info["name"].removeprefix(stem)
            if info["type"] == "directory":
                waiting.append(uri)
            elif uri != folder:  # a file, asked to list itself, does
                page.append(Entry(uri, info.get("size"), version_of(info)))
        yield page
