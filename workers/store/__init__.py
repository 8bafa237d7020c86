"""Folders and object stores, behind fsspec: raw listing, reading on a condition, patience."""

from workers.store.access import filesystem, scheme_of
from workers.store.asking import as_ours, ask, client_errors_as_ours
from workers.store.base import Entry, Span, Store
from workers.store.disk import remove_empty_folders, remove_scratch
from workers.store.door import (
    entry_at,
    fetch,
    fetch_tail,
    folders,
    list_pages,
    remove,
    replace,
)
from workers.store.errors import (
    client_errors,
    http_status,
    refuses_credentials,
)
from workers.store.patience import PATIENCE, Patience, is_transient
from workers.store.registry import STORES, store_of

__all__ = [
    "PATIENCE",
    "STORES",
    "Entry",
    "Patience",
    "Span",
    "Store",
    "as_ours",
    "ask",
    "client_errors",
    "client_errors_as_ours",
    "entry_at",
    "fetch",
    "fetch_tail",
    "filesystem",
    "folders",
    "http_status",
    "is_transient",
    "list_pages",
    "refuses_credentials",
    "remove",
    "remove_empty_folders",
    "remove_scratch",
    "replace",
    "scheme_of",
    "store_of",
]
