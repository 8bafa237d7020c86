"""One spelling for one place: INPUT and OUTPUT as runs compare them."""

import os

LOCAL_SCHEMES = ("file://", "local://")


def is_local(uri: str) -> bool:
    """Whether `uri` is a path of this machine."""
    return "://" not in uri or uri.startswith(LOCAL_SCHEMES)


def canonical(uri: str) -> str:
    """`uri` without its trailing slashes; a local path, `file://` or not, made absolute.

    Two spellings of one place give one string, so that a job started again finds its own run.
    """
    for scheme in LOCAL_SCHEMES:
        uri = uri.removeprefix(scheme)
    if is_local(uri):
        return os.path.abspath(os.path.expanduser(uri))
    return uri.rstrip("/")


def join(root: str, name: str) -> str:
    """The place `name` (relative, with slashes) under the canonical `root`."""
    return f"{root.rstrip('/')}/{name}"
