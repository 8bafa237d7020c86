"""The whole model's tensors in one file: names put straight, shapes checked, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from math import isqrt

from schemas.outcome import CheckpointError
from workers.model.authors.files import AuthorsFile, LazyTensor

POSITION_EMBEDDING = "visual_encoder.pos_embed"

Shapes = Mapping[str, tuple[int, ...]]
"""Canonical name → shape; the canonical names are those of the authors' whole model."""


@dataclass(frozen=True)
class Piece:
    """A tensor and where it stands."""

    tensor: LazyTensor
    file: AuthorsFile
    key: str


def take(
    file: AuthorsFile, canonical: Callable[[str], str], shapes: Shapes
) -> tuple[dict[str, Piece], tuple[str, ...]]:
    """What of `shapes` a file holds, and its keys that `shapes` does not know.

    Raises:
        CheckpointError: a tensor has another shape, or stands there under two spellings.
    """
    found: dict[str, Piece] = {}
    unknown: list[str] = []
    for key, tensor in file.tensors.items():
        name = canonical(key)
        if name not in shapes:
            unknown.append(key)
            continue
        if name in found:
            raise CheckpointError(f"{file.path} holds both {found[name].key} and {key}")
        if not _fits(name, tensor.shape, shapes[name]):
            raise CheckpointError(
                f"{file.path}: key {key} has shape {list(tensor.shape)}, "
                f"the network needs {list(shapes[name])}"
            )
        found[name] = Piece(tensor, file, key)
    return found, tuple(sorted(unknown))


def require(
    names: Iterable[str], found: Container[str], file: AuthorsFile, spelling: Callable[[str], str]
) -> None:
    """Every one of `names` must have been found.

    Raises:
        CheckpointError: names the first that is not, as `file` would spell it.
    """
    for name in names:
        if name not in found:
            raise CheckpointError(f"{file.path}: key {spelling(name)} is missing")


def refuse(unknown: Iterable[str], file: AuthorsFile, why: str) -> None:
    """Nothing may be left over.

    Raises:
        CheckpointError: names what is.
    """
    names = list(unknown)
    if names:
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise CheckpointError(f"{file.path}: key {names[0]}{more} {why}")


def _fits(name: str, found: tuple[int, ...], needed: tuple[int, ...]) -> bool:
    if name != POSITION_EMBEDDING:
        return found == needed
    # Trained on one grid of patches and used on another: any square grid can be resized.
    if len(found) != 3 or (found[0], found[2]) != (needed[0], needed[2]):
        return False
    patches = found[1] - 1
    return patches > 0 and isqrt(patches) ** 2 == patches
