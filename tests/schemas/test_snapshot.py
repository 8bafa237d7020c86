"""The documents of a snapshot, and the names in it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.outcome import RunFolderError, UsageError
from schemas.snapshot import AbsorbedRun, Pruned, Snapshot, SnapshotFile, SnapshotNames

NAMES = SnapshotNames("0123456789abcdef", 2)
SNAPSHOT = Snapshot(
    meaning_id=NAMES.meaning_id,
    ordinal=NAMES.ordinal,
    attempt="a",
    replaces=1,
    replaced_rows=7,
    added_rows=3,
    superseded=2,
    labelled=6,
    failed=2,
    deleted=1,
    runs=(
        AbsorbedRun("00000001", "0" * 64, 7, True),
        AbsorbedRun("00000003", "1" * 64, 3, False),
    ),
    absorbed=SnapshotFile(NAMES.absorbed("a"), "2" * 64, 5),
    parts=(SnapshotFile(NAMES.part("a", 0), "3" * 64, 8),),
)
TOMBSTONE = Pruned("00000001", NAMES.meaning_id, 2, 7)


@pytest.mark.parametrize("document", [SNAPSHOT, TOMBSTONE], ids=["snapshot", "tombstone"])
def test_documents_come_back_as_they_were_written(document: Any) -> None:
    """to_json and from_json are inverse; another format, or nothing in it, is a UsageError."""
    data = document.to_json()
    assert type(document).from_json(data, "x.json") == document
    value = json.loads(data)
    for damaged in (value | {"format_version": 99}, {"format_version": value["format_version"]}):
        with pytest.raises(UsageError, match=r"out/x\.json"):
            type(document).from_json(json.dumps(damaged).encode(), "out/x.json")


@pytest.mark.parametrize("field", ["superseded", "failed", "replaced_rows", "added_rows"])
def test_a_snapshot_adds_up(field: str) -> None:
    """Rows read are rows kept and rows superseded; what does not add up is refused."""
    altered = replace(SNAPSHOT, **{field: getattr(SNAPSHOT, field) + 1})
    with pytest.raises(RunFolderError, match=r"x\.json was altered: its counts do not add up"):
        Snapshot.from_json(altered.to_json(), "x.json")


def test_a_snapshot_lies_under_its_meaning() -> None:
    """Ordinals have eight digits, as runs have, and an attempt's files a folder of their own."""
    assert NAMES.snapshot == "snapshots/0123456789abcdef/00000002/snapshot.json"
    assert NAMES.part("a", 3) == "snapshots/0123456789abcdef/00000002/a/part-00003.parquet"
    assert SNAPSHOT.absorbed_runs == {"00000001", "00000003"}
