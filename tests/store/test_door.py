"""What every store does, asked through the one door."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.outcome import ChangedSincePlanError, TooManyBytesError
from schemas.uri import join
from tests.fake_store import fake_store
from tests.runs import put
from workers.store import (
    entry_at,
    fetch,
    fetch_tail,
    filesystem,
    folders,
    list_pages,
    remove,
    replace,
)

DATA = bytes(range(100))


@pytest.fixture(params=["local", "s3", "memory", "sim"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder of every kind of store, the fake one of the tests too."""
    if request.param == "local":
        yield str(tmp_path)
    elif request.param == "s3":
        yield request.getfixturevalue("bucket")
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}"
    else:
        with fake_store():
            yield "sim://out"


def write(place: str, name: str, data: bytes) -> str:
    """Put an object there as its owner would, whatever was there before."""
    uri = join(place, name)
    if uri.startswith("sim://"):
        replace(uri, data)
    else:
        put(place, name, data)
    return uri


def version(uri: str) -> str:
    entry = entry_at(uri)
    assert entry is not None
    return entry.version


@pytest.mark.parametrize(
    "span", [(0, 10), (7, 1), (90, 10), (90, 50), (99, 1), (100, 5), (500, 5), (0, 0), (50, 0)]
)
def test_a_span_is_what_a_slice_is(place: str, span: tuple[int, int]) -> None:
    """A span gives just its bytes, and those that there are where the object ends before."""
    uri = write(place, "a", DATA)
    assert fetch(uri, span=span) == DATA[span[0] : sum(span)]
    assert fetch(uri, version(uri), span=span) == DATA[span[0] : sum(span)]


def test_an_empty_object_has_empty_spans(place: str) -> None:
    """An object without bytes gives none, however it is asked."""
    uri = write(place, "empty", b"")
    assert fetch(uri) == b""
    assert fetch(uri, version(uri), span=(0, 10)) == b""
    assert fetch_tail(uri, 10) == b""


@pytest.mark.parametrize("length", [1, 8, 100, 1000])
def test_a_tail_is_the_end(place: str, length: int) -> None:
    """The last bytes, or all where there are no more."""
    assert fetch_tail(write(place, "a", DATA), length) == DATA[-length:]


@pytest.mark.parametrize("span", [None, (0, 10), (150, 10), (0, 0)])
def test_another_version_is_refused(place: str, span: tuple[int, int] | None) -> None:
    """Bytes of another version are never given, a span of them or beyond them neither."""
    uri = write(place, "a", DATA + DATA)
    planned = version(uri)
    write(place, "a", b"shorter")
    with pytest.raises(ChangedSincePlanError):
        fetch(uri, planned, span=span)


@pytest.mark.parametrize("span", [None, (0, 10)])
def test_a_missing_object_is_missing(place: str, span: tuple[int, int] | None) -> None:
    """What is not there is a FileNotFoundError, and no entry."""
    write(place, "other", DATA)
    with pytest.raises(FileNotFoundError):
        fetch(join(place, "absent"), span=span)
    with pytest.raises(FileNotFoundError):
        fetch_tail(join(place, "absent"), 8)
    assert entry_at(join(place, "absent")) is None


def test_an_object_over_the_limit_is_not_read(place: str) -> None:
    """A limit refuses the whole object and says both sizes; just at it, it is given."""
    uri = write(place, "a", DATA)
    with pytest.raises(TooManyBytesError, match=r"100 bytes.*99"):
        fetch(uri, limit=99)
    assert fetch(uri, limit=100) == DATA
    assert fetch(uri, version(uri), limit=100) == DATA


@pytest.mark.parametrize("place", ["local", "s3", "sim"], indirect=True)
def test_what_is_replaced_is_read_whole(place: str) -> None:
    """A name that is written over holds the last content."""
    uri = join(place, "runs/00000001/heartbeat.json")
    replace(uri, b"first, and longer")
    replace(uri, b"second")
    assert fetch(uri) == b"second"
    assert [entry.uri for page in list_pages(place) for entry in page] == [uri]


def test_removal_asks_for_nothing(place: str) -> None:
    """What is removed is gone; removing what is not there is no error."""
    uri = write(place, "a", DATA)
    remove(uri)
    assert entry_at(uri) is None
    remove(uri)


def test_folders_and_entries_are_told(place: str) -> None:
    """The folders right under a place, and every object below it with its size."""
    for name in ("runs/00000001/a", "runs/00000002/b/c", "runs/file"):
        write(place, name, DATA)
    assert sorted(folders(join(place, "runs"))) == ["00000001", "00000002"]
    assert folders(join(place, "absent")) == []
    found = {entry.uri: entry.size_bytes for page in list_pages(place) for entry in page}
    assert sorted(found) == [
        join(place, f"runs/{name}") for name in ("00000001/a", "00000002/b/c", "file")
    ]
    assert set(found.values()) == {100}


def test_a_server_that_knows_no_ranges_is_understood(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a store answers a range with the whole object, the span is cut out here."""
    uri = write(bucket, "a", DATA)
    kind = type(filesystem(uri))
    real = kind._call_s3

    async def ignore(*arguments: object, Range: str = "", **options: object) -> object:
        return await real(*arguments, **options)

    monkeypatch.setattr(kind, "_call_s3", ignore)
    assert fetch(uri, span=(90, 50)) == DATA[90:]
    assert fetch(uri, span=(0, 0)) == b""
    assert fetch_tail(uri, 8) == DATA[-8:]
