"""A file of a local disk that is there whole or not at all, and never replaces another.

It is written under OUTPUT/runs/, made durable, and given its name by a hard link; where there are
no hard links, by a rename that replaces nothing.
"""

import ctypes
import errno
import os
from pathlib import Path
from uuid import uuid4

from schemas.outcome import UsageError
from schemas.run import RUNS

NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What `link` fails with on file systems without hard links (FAT, some network and FUSE mounts)."""

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def create_on_disk(output: str, name: str, data: bytes) -> bool:
    """Create `output`/`name`, durable when this returns; False where the name is taken.

    Raises UsageError where the file system knows no way to do so, and OSError.
    """
    target = Path(output, name)
    scratch = Path(output, RUNS, f".scratch-{uuid4().hex}")
    _make_folder(scratch.parent)
    _make_folder(target.parent)
    try:
        _write(scratch, data)
        if not _give_name(scratch, target):
            return False
    finally:
        scratch.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return True


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _give_name(scratch: Path, target: Path) -> bool:
    """False where `target` is taken."""
    try:
        os.link(scratch, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return rename_without_replacing(scratch, target)
    return True


def rename_without_replacing(source: Path, target: Path) -> bool:
    """Linux's `renameat2(RENAME_NOREPLACE)`; False where `target` is taken.

    Raises UsageError where the system or the file system has no such call.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        code = errno.ENOSYS
    else:
        arguments = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
        if rename(*arguments, _RENAME_NOREPLACE) == 0:
            return True
        code = ctypes.get_errno()
    if code == errno.EEXIST:
        return False
    if code in (errno.EINVAL, errno.ENOSYS):
        raise UsageError(
            f"{target.parent}: this file system has neither hard links nor a rename that replaces "
            "nothing; write to another disk or to an object store"
        )
    raise OSError(code, os.strerror(code), str(target))


def _make_folder(folder: Path) -> None:
    """Like `mkdir -p`, each new folder made durable in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as error:  # not to be taken for an answer about the file
        raise NotADirectoryError(errno.ENOTDIR, "a file, not a folder", str(folder)) from error
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
