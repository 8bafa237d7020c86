"""Which files hold images in which way, told by how their names end."""

import os

from schemas.image import InputFormat
from schemas.outcome import UsageError
from workers.images.formats import EXTENSIONS

COMPRESSED_TARS = frozenset(
    {".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4"}
)
"""Listed so that they are refused by name: a member cannot be had without all that lie before."""

ENDINGS: dict[InputFormat, frozenset[str]] = {
    InputFormat.IMAGES: EXTENSIONS,
    InputFormat.WEBDATASET: frozenset({".tar"}) | COMPRESSED_TARS,
    InputFormat.PARQUET: frozenset({".parquet"}),
    InputFormat.CSV: frozenset({".csv", ".csv.gz"}),
    InputFormat.JSONL: frozenset({".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"}),
}
"""Of the files that a folder of this kind gives; in lower case."""

SIDECAR_ENDING = ".txt"
"""Of the file beside an image that holds its text; in lower case alone."""

_COMPRESSIONS = frozenset({".gz", ".bz2", ".xz", ".zst", ".lz4"})


def endings_of(name: str) -> frozenset[str]:
    """How `name`, a URI or a pattern, ends: `.csv.gz` and `.gz`, or `.png`, or nothing at all."""
    stem, last = os.path.splitext(name.lower())
    if last in _COMPRESSIONS:
        return frozenset({last, os.path.splitext(stem)[1] + last})
    return frozenset({last})


def is_sidecar(name: str) -> bool:
    """Whether it may be the text beside an image."""
    return name.endswith(SIDECAR_ENDING)


def sidecar_of(uri: str) -> str:
    """Where the text beside the image `uri` is, if there is one: `a/b.txt` of `a/b.jpg`."""
    return stem_of(uri) + SIDECAR_ENDING


def stem_of(uri: str) -> str:
    """What an image and the text beside it begin with, and no other text does."""
    folder, slash, name = uri.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"


def format_of(input: str, asked: InputFormat | None) -> InputFormat:
    """The kind of INPUT: the one that was `asked` for, else as its name ends; a folder is images.

    Raises UsageError for compressed tars, which cannot be read from the middle.
    """
    endings = endings_of(input)
    if endings & COMPRESSED_TARS and asked in (None, InputFormat.WEBDATASET):
        raise UsageError(compressed(input))
    if asked is not None:
        return asked
    for kind, names in ENDINGS.items():
        if endings & names:
            return kind
    return InputFormat.IMAGES


def compressed(tar: str) -> str:
    """The sentence for a compressed tar."""
    return (
        f"{tar} is a compressed tar, of which no member can be read by itself: store it as a "
        "plain .tar (images are compressed already)"
    )
