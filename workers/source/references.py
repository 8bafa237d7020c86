"""The URI of a manifest's row → the image that it names, or why it names none that may be read."""

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from schemas.image import ImageRef
from schemas.outcome import (
    BadReferenceError,
    ErrorCode,
    Failure,
    ForbiddenError,
    StoreError,
)
from schemas.uri import LOCAL_SCHEMES, canonical, is_local
from workers.source.kinds import sidecar_of
from workers.source.selection import is_utf8
from workers.store import (
    STORES,
    Entry,
    Patience,
    as_ours,
    client_errors,
    entry_at,
    http_status,
    refuses_credentials,
    scheme_of,
)
from workers.threads import Threads

LOOKUPS = 32
"""Objects whose version is asked for at a time."""


def row_id(container: str, row: int) -> str:
    """The `item_id` of a row, counted from 0: nine digits at least, so that ids sort as rows do and
    a shard's rows follow each other.
    """
    return f"{container}#{row:09d}"


def item_of(manifest: str, item_id: str, reference: object, columns: str) -> ImageRef:
    """The row `item_id` of `manifest` as an item whose version is still to be asked for; where
    `reference` names no image that may be read, an item that has failed.
    """
    try:
        uri = resolve(manifest, reference)
    except BadReferenceError as error:
        return failed_item(manifest, item_id, f"{item_id}: {error}", columns)
    return ImageRef(item_id, uri, "", None, columns=columns)


def failed_item(manifest: str, item_id: str, why: str, columns: str = "") -> ImageRef:
    """A row that names no image."""
    failure = Failure(ErrorCode.BAD_REFERENCE, why)
    return ImageRef(item_id, manifest, "", None, columns=columns, failure=failure)


def resolve(manifest: str, reference: object) -> str:
    """Where the image lies that `reference` names in `manifest`.

    What is relative is so to the manifest's folder. A manifest on a disk may name any file of that
    disk, by `..` too, and objects of stores; one in a store only objects of stores, since whoever
    wrote it is to open no file of the machine that reads it. Raises BadReferenceError for all else.
    """
    if reference is None or reference == "":
        raise BadReferenceError("names no image")
    if not isinstance(reference, str):
        raise BadReferenceError(f"names its image by no text but by {reference!r:.100}")
    if not is_utf8(reference) or "\0" in reference:
        raise BadReferenceError(f"names its image by {reference!a:.100}, which is no name")
    if reference.startswith("data:"):
        raise BadReferenceError("holds its image in a data: URI: put it in a file, or into Parquet")
    if "://" in reference and not reference.startswith(LOCAL_SCHEMES):
        scheme = scheme_of(reference)
        if scheme not in STORES and scheme != scheme_of(manifest):
            raise BadReferenceError(
                f"{reference:.1000} is on no store that is read from here ({scheme}://): copy the "
                "image to a disk, S3, GCS or Azure"
            )
        return reference
    if is_local(manifest):
        for scheme in LOCAL_SCHEMES:
            reference = reference.removeprefix(scheme)
        return canonical(posixpath.join(posixpath.dirname(manifest), reference))
    if "://" in reference or reference.startswith("/"):
        raise BadReferenceError(
            f"{reference:.1000} is a file of this machine, which a manifest in a store may not name"
        )
    return _below(manifest, reference)


def _below(manifest: str, reference: str) -> str:
    """The object `reference`, relative to the folder of a manifest in a store."""
    scheme, _, place = manifest.partition("://")
    bucket, _, key = place.partition("/")
    name = f"{key.rpartition('/')[0]}/{reference}".lstrip("/")
    if {".", ".."} & set(reference.split("/")):  # names in stores may hold `//`: not for nothing
        name = posixpath.normpath(name)
    if name in (".", "..") or name.startswith("../"):
        raise BadReferenceError(f"{reference:.1000} leads out of the bucket of its manifest")
    return f"{scheme}://{bucket}/{name}"


def with_versions(
    images: Sequence[ImageRef], sidecars: bool, threads: Threads, patience: Patience
) -> list[ImageRef]:
    """`images` in their order; those that a row names by URI with the version and size that the
    object has now, and where `sidecars` are looked for with the version of its text.

    One that is gone, or that may be read but not listed, stays without: reading it says what is
    the matter. Raises UsageError where the credentials are refused or missing, StoreError.
    """
    asked = [
        threads.submit(_with_version, image, sidecars, patience) if _is_named(image) else None
        for image in images
    ]
    return [
        future.result() if future else image for future, image in zip(asked, images, strict=True)
    ]


def _is_named(image: ImageRef) -> bool:
    return image.failure is None and image.offset is None and image.row is None


def _with_version(image: ImageRef, sidecars: bool, patience: Patience) -> ImageRef:
    try:
        entry = _look_up(image.uri, patience)
    except ForbiddenError:
        return image
    except BadReferenceError as error:
        return replace(image, failure=Failure.of(error))
    if entry is None:
        return image
    sidecar = _version_beside(image.uri, patience) if sidecars else None
    version, size = entry.version, entry.size_bytes
    return replace(image, input_digest=version, size_bytes=size, sidecar=sidecar)


def _version_beside(uri: str, patience: Patience) -> str | None:
    """That of the text beside the image `uri`, as `ImageRef.sidecar` has it."""
    try:
        entry = _look_up(sidecar_of(uri), patience)
    except (BadReferenceError, ForbiddenError):  # reading it says what is the matter
        return None
    return (entry.version or None) if entry else ""


def _look_up(uri: str, patience: Patience) -> Entry | None:
    """What lies there, None: nothing. Raises as `with_versions`, ForbiddenError where that may not
    be asked, BadReferenceError for a name that no object can have.
    """
    try:
        return patience(lambda seconds: entry_at(uri, seconds))
    except FileNotFoundError:
        return None
    except client_errors() as error:
        ours = as_ours(uri, error)
        if isinstance(ours, StoreError) or refuses_credentials(error):
            raise ours from error
        if isinstance(error, PermissionError) or http_status(error) == 403:
            raise ForbiddenError(str(ours)) from error
        raise BadReferenceError(str(ours)) from error
