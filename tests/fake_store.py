"""A store in memory, `sim://`, that keeps a good store's promises: for tests without a server."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.uri import join
from workers.store import STORES, Entry, Patience, Span, base

SCHEME = "sim"


class FakeStore:
    """Objects by URI, each with its bytes and its version; any prefix is a place, as on S3."""

    creates = True

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        uris = sorted(uri for uri in self._snapshot() if uri.startswith(place))
        for first in range(0, max(len(uris), 1), base.PAGE):
            found = (self.entry(uri, None) for uri in uris[first : first + base.PAGE])
            yield [entry for entry in found if entry is not None]

    def entry(self, uri: str, seconds: float | None) -> Entry | None:
        with self._lock:
            if uri not in self.objects:
                return None
            data, version = self.objects[uri]
            return Entry(uri, len(data), version)

    def folders(self, place: str, seconds: float | None) -> list[str]:
        root = place.rstrip("/") + "/"
        names = (uri.removeprefix(root) for uri in self._snapshot() if uri.startswith(root))
        return sorted({name.partition("/")[0] for name in names if "/" in name})

    def fetch(
        self,
        uri: str,
        version: str,
        seconds: float | None,
        span: Span | None,
        limit: int | None,
    ) -> bytes:
        with self._lock:
            if uri not in self.objects:
                raise FileNotFoundError(uri)
            data, found = self.objects[uri]
        base.require_version(uri, found, version)
        if span is not None:
            return data[span[0] : sum(span)]
        base.require_size(uri, len(data), limit)
        return data

    def fetch_tail(self, uri: str, length: int, seconds: float | None) -> bytes:
        return self.fetch(uri, "", seconds, None, None)[-length:]

    def create(self, output: str, name: str, data: bytes, seconds: float | None) -> None:
        uri = join(output, name)
        with self._lock:
            if uri in self.objects:
                raise FileExistsError(uri)
            self.objects[uri] = (data, self._next_version())

    def replace(self, uri: str, data: bytes, seconds: float | None) -> None:
        with self._lock:
            self.objects[uri] = (data, self._next_version())

    def remove(self, uri: str, seconds: float | None) -> None:
        with self._lock:
            self.objects.pop(uri, None)

    def _snapshot(self) -> list[str]:
        with self._lock:
            return list(self.objects)

    def _next_version(self) -> str:
        return f"fake:{next(self._versions)}"


@contextmanager
def fake_store(store: FakeStore | None = None, scheme: str = SCHEME) -> Iterator[FakeStore]:
    """URIs of `scheme` lead to `store` (a new one where none is given) within the block only."""
    store = store or FakeStore()
    STORES[scheme] = store
    try:
        yield store
    finally:
        del STORES[scheme]
