"""What is labelled: one image, and the group of them that is one file of the output."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One item of the plan: where an image lies and which version of it was planned."""

    item_id: str
    """Names the item for ever: its URI (plus the tar member or manifest row, where it has one)."""
    uri: str
    """Where its bytes are; for a local file the absolute path."""
    input_digest: str
    """The version that was listed: `etag:…`, `generation:…`, `md5:…`, of a local file
    `mtime:SIZE-NANOSECONDS`, elsewhere `changed:SIZE-TIME`; empty where the store tells none."""
    size_bytes: int | None
    """None where the listing does not tell."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of one part file, in the plan's order."""

    index: int
    images: tuple[ImageRef, ...]

    def __len__(self) -> int:
        return len(self.images)
