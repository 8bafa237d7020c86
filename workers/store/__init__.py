"""Folders and object stores, behind fsspec: raw listing, reading on a condition, patience."""

from workers.store.access import (
    client_errors,
    credential_errors,
    filesystem,
    http_status,
    scheme_of,
)
from workers.store.asking import as_ours, ask, client_errors_as_ours
from workers.store.fetch import fetch
from workers.store.listing import Entry, entry_at, folders, list_pages
from workers.store.patience import PATIENCE, Patience, is_transient

__all__ = [
    "PATIENCE",
    "Entry",
    "Patience",
    "as_ours",
    "ask",
    "client_errors",
    "client_errors_as_ours",
    "credential_errors",
    "entry_at",
    "fetch",
    "filesystem",
    "folders",
    "http_status",
    "is_transient",
    "list_pages",
    "scheme_of",
]
