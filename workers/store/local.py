"""Folders of this machine."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from schemas.outcome import BadReferenceError, UsageError
from schemas.uri import canonical, join
from workers.store import base
from workers.store.base import Entry, Span, require_size, require_version
from workers.store.disk import create_on_disk, replace_on_disk
from workers.store.patience import Patience


class LocalStore:
    """A disk answers or fails at once: there is nothing to give up after some seconds."""

    creates = True

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        entries = _walk(canonical(place))
        while page := list(islice(entries, base.PAGE)):
            yield page

    def entry(self, uri: str, seconds: float | None) -> Entry | None:
        if not os.path.isfile(uri):
            return None
        stat = os.stat(uri)
        return Entry(uri, stat.st_size, local_version(stat))

    def folders(self, place: str, seconds: float | None) -> list[str]:
        try:
            with os.scandir(canonical(place)) as found:
                return [item.name for item in found if item.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def fetch(
        self,
        uri: str,
        version: str,
        seconds: float | None,
        span: Span | None,
        limit: int | None,
    ) -> bytes:
        with _open(uri) as file:
            if span is None:
                require_size(uri, os.fstat(file.fileno()).st_size, limit)
                data = file.read()
            else:
                file.seek(span[0])
                data = file.read(span[1])
            # after reading: a file written over meanwhile has another time, a file replaced by
            # another of its name leaves this one as it was
            require_version(uri, local_version(os.fstat(file.fileno())), version)
        return data

    def fetch_tail(self, uri: str, length: int, seconds: float | None) -> bytes:
        with _open(uri) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - length, 0))
            return file.read(length)

    def create(self, output: str, name: str, data: bytes, seconds: float | None) -> None:
        if not create_on_disk(output, name, data):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), join(output, name))

    def replace(self, uri: str, data: bytes, seconds: float | None) -> None:
        replace_on_disk(uri, data)

    def remove(self, uri: str, seconds: float | None) -> None:
        with suppress(FileNotFoundError):
            os.unlink(uri)


def _open(path: str) -> BinaryIO:
    """For a pipe's writer would be waited for ever, and a device may give bytes without end."""
    mode = os.stat(path).st_mode
    if not S_ISREG(mode) and not S_ISDIR(mode):
        raise BadReferenceError(f"{path} is a device, a pipe or a socket, and no file")
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def local_version(stat: os.stat_result) -> str:
    """Size and modification time of a local file."""
    return f"mtime:{stat.st_size}-{stat.st_mtime_ns}"


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
                    elif (entry := _entry(item)) is not None:
                        yield entry
        except PermissionError as error:
            raise UsageError(f"no permission to list the folder {folder}") from error
        except FileNotFoundError:
            if folder == root:
                raise  # a folder that went while we walked is no longer there to be listed


def _entry(item: os.DirEntry[str]) -> Entry | None:
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
