"""A WebDataset tar → its images: members of one name up to the first dot belong together."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from schemas.image import ImageRef
from schemas.outcome import ReadError
from workers.images.formats import EXTENSIONS
from workers.source.columns import encode_columns
from workers.source.containers import BLOCK, Container
from workers.source.fetching import broken
from workers.source.kinds import COMPRESSED_TARS, compressed, endings_of
from workers.source.page import PAGE_IMAGES, Outcome
from workers.source.selection import SkipRule, is_utf8

SIDECARS = frozenset({"txt", "json"})
LONGEST_SIDECAR = 1 << 20
"""Bytes of a text that becomes a column."""

_COMPRESSION_MARKS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
_HIDDEN = re.compile(r"(^|/)\.(?!\.?(/|$))")


@dataclass(slots=True)
class _Sample:
    """Members that follow each other under one key."""

    key: str
    images: list[tarfile.TarInfo] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)

    def items(self, tar: Container) -> Iterator[ImageRef]:
        columns = encode_columns(self.columns)
        for member in self.images:
            yield ImageRef(
                f"{tar.uri}#{member.name}",
                tar.uri,
                tar.version,
                member.size,
                offset=member.offset_data,
                columns=columns,
            )
        self.images.clear()


def members(tar: Container) -> Iterator[Outcome]:
    """The images of `tar`, with the `.txt` and `.json` of their sample as columns; every other
    member by the rule that leaves it out.

    A sample ends where another key follows, or at PAGE_IMAGES images. Members of one name are all
    given, the one that counts last, as tar has it. Raises BrokenContainerError where the tar cannot
    be read on, and as `bytes_of`.
    """
    if endings_of(tar.uri) & COMPRESSED_TARS:
        raise broken(tar.uri, compressed(tar.uri))
    sample = _Sample("")
    with tar.blocks() as file:
        try:
            for member in _headers(tar, file):
                key, extension = _key_and_extension(member.name)
                if key != sample.key or len(sample.images) == PAGE_IMAGES:
                    yield from sample.items(tar)
                    sample = _Sample(key, columns=sample.columns if key == sample.key else {})
                rule = _rule_against(member, extension)
                if rule is None:
                    sample.images.append(member)
                    continue
                if rule is SkipRule.SIDECAR:
                    file.seek(member.offset_data)
                    text = file.read(member.size).decode(errors="replace")
                    sample.columns[extension] = text
                yield rule
        except ReadError:
            yield from sample.items(tar)
            raise
        yield from sample.items(tar)


def _headers(tar: Container, file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The members that are whole, to the tar's end and no further."""
    mark = file.read(8)
    if any(mark.startswith(one) for one in _COMPRESSION_MARKS):
        raise broken(tar.uri, compressed(tar.uri))
    file.seek(0)
    position = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it keeps them all
                if archive.offset <= member.offset:
                    raise broken(tar.uri, f"its member {member.name!a} leads back")
                end = member.offset_data + (0 if _has_no_data(member) else member.size)
                if end > tar.size_bytes:
                    raise broken(tar.uri, f"it ends within its member {member.name!a}")
                position = end
                yield member
            position = archive.offset
    # what tarfile trips over in headers that are none
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise broken(tar.uri, f"after byte {position:,}: {error}") from error
    _require_end(tar, file, position)


def _require_end(tar: Container, file: IO[bytes], position: int) -> None:
    """tarfile takes any header that it cannot read for the end: behind the end are zeros alone."""
    file.seek(position)
    while block := file.read(BLOCK):
        if block.strip(b"\0"):
            raise broken(
                tar.uri,
                f"no header at byte {position:,}, and more than zeros from there on: a hole, or "
                "several tars in one file",
            )


def _rule_against(member: tarfile.TarInfo, extension: str) -> SkipRule | None:
    """Why `member` is no image, or None: it is one. A sidecar is still to be read."""
    if member.isdir():
        return SkipRule.PLACEHOLDER
    if not member.isreg() or member.issparse():
        return SkipRule.NOT_A_FILE
    if not is_utf8(member.name):
        return SkipRule.NAME
    if _HIDDEN.search(member.name):
        return SkipRule.HIDDEN
    if extension in SIDECARS:
        return SkipRule.SIDECAR if member.size <= LONGEST_SIDECAR else SkipRule.LONG_SIDECAR
    return None if endings_of(member.name) & EXTENSIONS else SkipRule.EXTENSION


def _has_no_data(member: tarfile.TarInfo) -> bool:
    """A link's size is of what it leads to; a sparse file's is that of its holes too."""
    return not member.isreg() or member.issparse()


def _key_and_extension(name: str) -> tuple[str, str]:
    """`a/b` and `seg.png` of `a/b.seg.png`."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower()
