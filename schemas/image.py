"""What is labelled: one image, and the group of them that is one file of the output."""

from dataclasses import dataclass
from enum import StrEnum

from schemas.outcome import Failure


class InputFormat(StrEnum):
    """How INPUT holds its images."""

    IMAGES = "images"
    """Each object is an image."""
    WEBDATASET = "webdataset"
    """Tar files; a member is an image, its `.txt` and `.json` neighbours are columns."""
    PARQUET = "parquet"
    """Parquet files; a row is an image, given as bytes or as a URI."""
    CSV = "csv"
    """Manifests; a row names an image by URI."""
    JSONL = "jsonl"
    """Likewise, a JSON object a line."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One item of the plan: where an image lies and which version of it was planned."""

    item_id: str
    """Names the item for ever: the image's URI, or `CONTAINER#MEMBER` of a tar, `CONTAINER#ROW`
    (counted from 0, in nine digits: ids sort as rows do) of a Parquet file or a manifest;
    `CONTAINER#broken` is what of a container could not be listed."""
    uri: str
    """Where its bytes are; for a local file the absolute path."""
    input_digest: str
    """The version that was listed: `etag:…`, `generation:…`, `md5:…`, of a local file
    `mtime:SIZE-NANOSECONDS`, elsewhere `changed:SIZE-TIME`; empty where the store tells none."""
    size_bytes: int | None
    """Of the image alone; None where the listing does not tell."""
    offset: int | None = None
    """Where the image begins inside the object, in bytes; None: the object is the image."""
    row: int | None = None
    """Which row of the Parquet file `uri` holds the image's bytes; None: no such file."""
    columns: str = ""
    """A JSON object with what INPUT says of the item beside the image; "" where it says nothing.
    Its keys are names of INPUT, of which `Plan.columns` knows the types."""
    failure: Failure | None = None
    """Why the item cannot be read, where that was plain when it was planned; it becomes its row."""
    sidecar: str | None = None
    """The version of the text in a file beside the image, as `input_digest` has it; "" where there
    is no such file, None where nobody looked, or it has no version."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of one part file, in the plan's order."""

    index: int
    images: tuple[ImageRef, ...]

    def __len__(self) -> int:
        return len(self.images)
