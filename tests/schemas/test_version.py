"""Which sources labelled a row."""

from pathlib import Path

import pytest

from schemas import version


def test_any_changed_source_changes_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content, name and number of the sources count; other files do not."""
    monkeypatch.setattr(version, "ROOT", tmp_path)
    seen = set()
    for name, content in [
        ("schemas/a.py", "1"),
        ("schemas/a.py", "2"),
        ("workers/deep/b.py", ""),
        ("jobs/b.py", ""),
        ("jobs/notes.txt", "ignored"),
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
        seen.add(version.code_version.__wrapped__())
    assert len(seen) == 4


def test_the_version_is_that_of_this_checkout() -> None:
    """16 hex digits, the same each time."""
    assert len(version.code_version()) == 16
    assert version.code_version() == version.code_version.__wrapped__()
