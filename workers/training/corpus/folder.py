"""Whether a folder holds a whole corpus, and which one."""

from __future__ import annotations

from pathlib import Path

from schemas.outcome import UsageError
from workers.model.manifest import FileDigest, digest_file

ACCOUNT = "corpus.json"
"""Taken away when a corpus is begun and written last: a corpus without it is not whole."""
TABLES = ("drawings.npy", "drawings.parquet", "photos.npy", "photos.parquet")


def whole_corpus(folder: Path) -> FileDigest:
    """The digest of the corpus's account of itself, which tells one corpus from another.

    Raises:
        UsageError: the folder holds no corpus, or one that was not finished.
    """
    for name in (*TABLES, ACCOUNT):
        if not (folder / name).is_file():
            raise UsageError(
                f"{folder} holds no whole corpus, {name} is missing; "
                "make one with jobs/prepare_corpus.py"
            )
    return digest_file(folder / ACCOUNT)
