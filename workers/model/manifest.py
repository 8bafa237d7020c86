"""manifest.json: what a checkpoint folder holds, where it came from, every file's digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas import document
from schemas.outcome import CheckpointError
from workers.model.quantization import NONE

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileDigest:
    """A file's name, hex SHA-256 and size in bytes."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Origin:
    """What a checkpoint was made from, and how; empty where nobody said."""

    sources: Mapping[str, tuple[FileDigest, ...]] = field(default_factory=dict)
    """Role (`eva`, `blip2`, `phi`, `stage`, `tokenizer`; `stem`, `corpus`) → its files."""
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role → keys of its files that nothing reads."""
    replaced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role → keys of its files in whose place the stage file's stand."""
    notes: tuple[str, ...] = ()
    """What else a reader should know, a sentence each."""
    training: Mapping[str, int | float | str] = field(default_factory=dict)
    """What a training was given besides files: its `seed`."""


@dataclass(frozen=True)
class Manifest:
    """The value of manifest.json."""

    files: tuple[FileDigest, ...]
    """Every file of the checkpoint but the manifest, by name."""
    origin: Origin = field(default_factory=Origin)
    quantization: str = NONE
    """One of workers.model.quantization.STORED."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the names and digests of the files: the model's identity."""
        return document.digest({file.name: file.sha256 for file in self.files})

    def to_dict(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "quantization": self.quantization,
            "files": _files_to_dict(self.files),
            "sources": {role: _files_to_dict(files) for role, files in self.origin.sources.items()},
            "dropped": {role: list(keys) for role, keys in self.origin.dropped.items()},
            "replaced": {role: list(keys) for role, keys in self.origin.replaced.items()},
            "notes": list(self.origin.notes),
            "training": dict(self.origin.training),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Manifest:
        """The inverse of `to_dict`; KeyError, TypeError or AttributeError at another shape."""
        origin = Origin(
            sources={role: _files_from_dict(v) for role, v in values["sources"].items()},
            dropped={role: tuple(keys) for role, keys in values["dropped"].items()},
            replaced={role: tuple(keys) for role, keys in values["replaced"].items()},
            # Manifests of before these two were told are of the same format.
            notes=tuple(str(note) for note in values.get("notes", ())),
            training=dict(values.get("training", {})),
        )
        return cls(_files_from_dict(values["files"]), origin, str(values["quantization"]))


def digest_file(path: Path) -> FileDigest:
    """Digest of a file, read in pieces."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(path.name, sha256, path.stat().st_size)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder.

    Raises:
        CheckpointError: there is none, or one of another format.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} is no checkpoint folder: it holds no {MANIFEST}; "
            "jobs/convert_checkpoint.py makes one of the authors' files"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} is of format {version}, this program reads {FORMAT_VERSION}")
    try:
        manifest = Manifest.from_dict(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a manifest of ours: {error!r}") from error
    for file in manifest.files:
        if Path(file.name).name != file.name:
            raise CheckpointError(f"{path} lists {file.name!r}, which is not a file beside it")
    return manifest


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its digest.

    Raises:
        CheckpointError: names the first file that is missing or altered.
    """
    for expected in manifest.files:
        path = folder / expected.name
        try:
            found = digest_file(path)
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path} is missing though {MANIFEST} lists it; fetch the checkpoint again"
            ) from error
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        if found != expected:
            raise CheckpointError(
                f"{path} is not the file that {MANIFEST} lists (its SHA-256 differs); "
                "fetch the checkpoint again"
            )


def _files_to_dict(files: tuple[FileDigest, ...]) -> dict[str, Any]:
    return {f.name: {"sha256": f.sha256, "size_bytes": f.size_bytes} for f in files}


def _files_from_dict(values: Mapping[str, Any]) -> tuple[FileDigest, ...]:
    return tuple(
        FileDigest(name, str(of["sha256"]), int(of["size_bytes"]))
        for name, of in sorted(values.items())
    )
