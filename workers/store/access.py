"""How a store is reached."""

import inspect
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.outcome import UsageError
from schemas.uri import is_local
from workers.store.errors import request_errors

PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}
"""Which package brings fsspec to a scheme."""

S3 = ("s3", "s3a")


def scheme_of(uri: str) -> str:
    """`s3` of `s3://bucket/key`; `file` of a path."""
    return "file" if is_local(uri) else uri.partition("://")[0]


def filesystem(uri: str) -> Any:
    """The fsspec filesystem of `uri`, without its cache of listings.

    On S3 it asks once: botocore would try five times, s3fs five times that, and neither knows our
    deadline. `Patience` alone asks again.

    Raises UsageError for a scheme that nothing here knows, or whose package is not installed, and
    for settings with which the store's client cannot be made.
    """
    scheme = scheme_of(uri)
    if scheme == "file":
        return LocalFileSystem()
    kind = _kind_of_store(uri, scheme)
    if _wants_more_than_a_uri(kind):
        raise UsageError(
            f"{uri}: a {scheme}:// store cannot be reached by its URI alone; copy the files to a "
            "disk, S3, GCS or Azure"
        )
    once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}} if scheme in S3 else {}
    try:
        store = kind(use_listings_cache=False, **once)
        if scheme in S3:
            store.retries = 1
            store.connect()  # once; it looks at the environment and asks nothing of the network
    except ValueError as error:
        raise UsageError(
            f"{uri}: {error} (AWS_ENDPOINT_URL_S3 is a whole URL, such as http://localhost:8333)"
        ) from error
    except request_errors() as error:
        raise UsageError(f"{uri}: {error}") from error
    return store


def _kind_of_store(uri: str, scheme: str) -> Any:
    """The class of fsspec's filesystem."""
    try:
        return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = PACKAGES.get(scheme)
        cure = f"pip install {package}" if package else str(error)
        raise UsageError(f"{scheme}:// needs a package that is not installed: {cure}") from error
    except ValueError as error:
        raise UsageError(f"{uri}: no such kind of store as {scheme}://") from error


def _wants_more_than_a_uri(kind: Any) -> bool:
    """Whether a filesystem of this class needs a host, a repository and their like."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # without self
    return any(
        one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        for one in parameters
    )
