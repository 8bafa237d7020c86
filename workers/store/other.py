"""Any store that fsspec knows, by what fsspec offers everywhere."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from fsspec.asyn import sync

from schemas.uri import canonical, join
from workers.store.access import filesystem
from workers.store.base import Entry, Span, require_size, require_version, version_of
from workers.store.patience import Patience


class FsspecStore:
    """GCS and Azure, where creation is exclusive; and the rest, to read from."""

    def __init__(self, creates: bool) -> None:
        self.creates = creates

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        store = filesystem(place)
        root = canonical(place)
        stem = store._strip_protocol(root).rstrip("/")  # as the store's own names begin
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            page = []
            for info in patience(partial(_listed, store, folder)):
                uri = root + info["name"].removeprefix(stem)
                if info["type"] == "directory":
                    waiting.append(uri)
                elif uri != folder:  # a file, asked to list itself, does
                    page.append(Entry(uri, info.get("size"), version_of(info)))
            yield page

    def entry(self, uri: str, seconds: float | None) -> Entry | None:
        try:
            info = call(filesystem(uri), "info", uri, timeout=seconds)
        except FileNotFoundError:
            return None
        return Entry(uri, info.get("size"), version_of(info)) if info["type"] == "file" else None

    def folders(self, place: str, seconds: float | None) -> list[str]:
        store = filesystem(place)
        try:
            entries = _listed(store, canonical(place), seconds)
        except FileNotFoundError:
            return []
        return [
            os.path.basename(e["name"].rstrip("/")) for e in entries if e["type"] == "directory"
        ]

    def fetch(
        self,
        uri: str,
        version: str,
        seconds: float | None,
        span: Span | None,
        limit: int | None,
    ) -> bytes:
        store = filesystem(uri)
        if span is None:
            if limit is not None:
                info = call(store, "info", uri, timeout=seconds)
                require_size(uri, info.get("size"), limit)
            data = call(store, "cat_file", uri, timeout=seconds)
        else:
            data = _part_of(store, uri, span, seconds)
        if version:  # looked at afterwards: versions do not come back
            found = version_of(call(store, "info", uri, timeout=seconds))
            require_version(uri, found, version)
        return bytes(data)

    def fetch_tail(self, uri: str, length: int, seconds: float | None) -> bytes:
        store = filesystem(uri)
        size = call(store, "info", uri, timeout=seconds)["size"]
        return _part_of(store, uri, (max(size - length, 0), length), seconds)

    def create(self, output: str, name: str, data: bytes, seconds: float | None) -> None:
        uri = join(output, name)
        call(filesystem(uri), "pipe_file", uri, data, mode="create", timeout=seconds)

    def replace(self, uri: str, data: bytes, seconds: float | None) -> None:
        call(filesystem(uri), "pipe_file", uri, data, timeout=seconds)

    def remove(self, uri: str, seconds: float | None) -> None:
        with suppress(FileNotFoundError):
            call(filesystem(uri), "rm_file", uri, timeout=seconds)


def call(store: Any, method: str, *values: Any, timeout: float | None, **options: Any) -> Any:
    """What fsspec's `method` answers, TimeoutError after `timeout` seconds where it can be left."""
    if store.async_impl:
        return sync(store.loop, getattr(store, f"_{method}"), *values, timeout=timeout, **options)
    return getattr(store, method)(*values, **options)


def _listed(store: Any, folder: str, seconds: float | None) -> Any:
    return call(store, "ls", folder, detail=True, timeout=seconds)


def _part_of(store: Any, uri: str, span: Span, seconds: float | None) -> bytes:
    """The bytes of `span` that there are; stores differ in what they say to one beyond the end."""
    size = call(store, "info", uri, timeout=seconds).get("size")
    first, end = span[0], sum(span) if size is None else min(sum(span), size)
    if first >= end:
        return b""
    return bytes(call(store, "cat_file", uri, start=first, end=end, timeout=seconds))
