"""Which kind of store a URI leads to."""

from workers.store.access import scheme_of
from workers.store.base import Store
from workers.store.local import LocalStore
from workers.store.other import FsspecStore
from workers.store.s3 import S3Store

EXCLUSIVE = ("gs", "gcs", "az", "abfs", "abfss")
"""Schemes, S3 aside, whose stores are known to create exclusively."""

STORES: dict[str, Store] = {
    "file": LocalStore(),
    **dict.fromkeys(("s3", "s3a"), S3Store()),
    **dict.fromkeys(EXCLUSIVE, FsspecStore(creates=True)),
}
"""By scheme; any other is read as fsspec reads it."""

_OTHER = FsspecStore(creates=False)


def store_of(uri: str) -> Store:
    """The store of `uri`; whether its client can be made is seen when it is asked."""
    return STORES.get(scheme_of(uri), _OTHER)
