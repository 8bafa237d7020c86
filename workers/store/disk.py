"""A file of a local disk that is there whole or not at all, and replaces another only when told to.

It is written as a scratch file under OUTPUT/runs/, made durable, and given its name by a hard link;
where there are no hard links, by a rename that replaces nothing.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from uuid import uuid4

from schemas.outcome import UsageError
from schemas.run import LABELS, RUNS
from workers.failpoints import failpoint

NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What `link` fails with on file systems without hard links (FAT, some network and FUSE mounts)."""

SCRATCH = ".scratch"
"""Folder, in a run's folder, of files that have no name yet."""

_RUN = re.compile(rf"(?:{RUNS}/|{LABELS}/run=)(\d{{8}})/")
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def create_on_disk(output: str, name: str, data: bytes) -> bool:
    """Create `output`/`name`, durable when this returns; False where the name is taken.

    Raises UsageError where the file system knows no way to do so, and OSError.
    """
    target = Path(output, name)
    _make_folder(target.parent)
    with _scratch(_scratch_folder(output, name), data, target) as scratch:
        failpoint("scratched", name)
        if not _give_name(scratch, target):
            return False
        failpoint("linked", name)
    _sync_folder(target.parent)
    if _RUN.match(name) is None:
        _drop(_scratch_folder(output, name))
    return True


def replace_on_disk(path: str, data: bytes) -> None:
    """Write `path` over: a reader sees the old content or the new, which is durable when this
    returns. Raises OSError.
    """
    target = Path(path)
    folder = target.parent / SCRATCH
    try:
        with _scratch(folder, data, target) as scratch:
            scratch.replace(target)
    except FileExistsError as error:  # what is there is in nobody's way
        raise OSError(errno.EBUSY, "its scratch file was removed meanwhile", path) from error
    _sync_folder(target.parent)
    # that of a run is its parts' too, until there is a result
    if target.parent.parent.name != RUNS or Path(target.parent, "result.json").exists():
        _drop(folder)


def remove_scratch(output: str, run_id: str) -> None:
    """Take away what writers of the run that were killed left behind.

    A writer that still lives loses its file too: it fails with FileExistsError where its name is
    taken, else with EBUSY, and may try again.
    """
    shutil.rmtree(Path(output, RUNS, run_id, SCRATCH), ignore_errors=True)


def remove_empty_folders(output: str, names: Iterable[str]) -> None:
    """Take away the folders of the files `names` that are empty now, but for those of OUTPUT."""
    parents = {parent for name in names for parent in PurePosixPath(name).parents}
    for folder in sorted(parents, key=lambda one: len(one.parts), reverse=True):
        if len(folder.parts) > 1:
            _drop(Path(output, folder))


def _drop(folder: Path) -> None:
    """Unless something is in it; whoever was about to write there makes it anew."""
    with suppress(OSError):
        folder.rmdir()


def _scratch_folder(output: str, name: str) -> Path:
    """Where the scratch file for `name` goes: with its run's, if it is of a run."""
    run = _RUN.match(name)
    return Path(output, RUNS, run[1] if run else "", SCRATCH)


@contextmanager
def _scratch(folder: Path, data: bytes, target: Path) -> Iterator[Path]:
    """A durable file in `folder` that holds `data`, gone afterwards whatever it was used for."""
    path = folder / uuid4().hex
    _make_folder(folder)
    try:
        _write(path, data)
        yield path
    except FileNotFoundError as error:
        if os.path.lexists(target):
            raise FileExistsError(
                errno.EEXIST, "created by another meanwhile", str(target)
            ) from error
        raise OSError(errno.EBUSY, "its scratch file was removed meanwhile", str(target)) from error
    finally:
        path.unlink(missing_ok=True)


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
