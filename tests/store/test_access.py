"""How a store is reached."""

import sys

import pytest

from schemas.outcome import UsageError
from workers.store import filesystem


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without s3fs an s3:// URI says what to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UsageError, match="pip install s3fs"):
        filesystem("s3://bucket/key")


def test_an_unknown_scheme_is_refused() -> None:
    """A scheme that no store has is bad usage."""
    with pytest.raises(UsageError, match="nonsense://"):
        filesystem("nonsense://bucket")
