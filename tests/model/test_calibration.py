"""calibration.json beside a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.outcome import CheckpointError, UsageError
from tests.checkpoints import save_tiny_checkpoint
from workers.model import TinyGPTV
from workers.model.calibration import (
    CALIBRATION,
    Calibration,
    Fit,
    read_calibration,
    write_calibration,
)
from workers.model.checkpoint import read_checkpoint

FIT = Fit(
    temperature=1.7,
    items=500,
    loss_before=0.9,
    loss_after=0.6,
    annotations="dev.jsonl",
    annotations_sha256="ab" * 32,
    quantization="none",
    prompt="is it? {text}",
)
OURS = "12" * 32


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The whole fit comes back, a later one takes its place, and nothing else is left behind."""
    write_calibration(tmp_path, Calibration(OURS, FIT))
    assert read_calibration(tmp_path, OURS) == Calibration(OURS, FIT)
    warmer = Calibration(OURS, replace(FIT, temperature=2.0))
    write_calibration(tmp_path, warmer)
    assert read_calibration(tmp_path, OURS).hateful_temperature == 2.0
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION]
    assert (tmp_path / CALIBRATION).stat().st_mode & 0o777 == 0o644


def test_a_folder_without_one_changes_nothing(tmp_path: Path) -> None:
    """The temperature is 1 where nothing was fitted."""
    assert read_calibration(tmp_path, OURS) == Calibration(OURS)
    assert Calibration(OURS).hateful_temperature == 1


def test_another_model_is_refused(tmp_path: Path) -> None:
    """A file that was fitted for another model is one sentence that says what to do."""
    write_calibration(tmp_path, Calibration("34" * 32, FIT))
    with pytest.raises(CheckpointError, match=r"fitted for another model .*--fit-calibration"):
        read_calibration(tmp_path, OURS)


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "{}",
        '{"format_version": 2}',
        '{"format_version": 1, "model_digest": "x"}',
        '{"format_version": 1, "model_digest": "x", "hateful": {"temperature": 1}}',
        '{"format_version": 1, "model_digest": "x", "hateful": 3}',
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: str) -> None:
    """What is not such a file is one sentence that names it."""
    (tmp_path / CALIBRATION).write_text(content)
    with pytest.raises(CheckpointError, match=r"calibration\.json"):
        read_calibration(tmp_path, OURS)


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan"), "1", None])
def test_a_temperature_is_above_nothing(tmp_path: Path, temperature: object) -> None:
    """Log-odds cannot be divided by anything else."""
    write_calibration(tmp_path, Calibration(OURS, FIT))
    values = json.loads((tmp_path / CALIBRATION).read_text())
    values["hateful"]["temperature"] = temperature
    (tmp_path / CALIBRATION).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="temperature"):
        read_calibration(tmp_path, OURS)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Writing where nothing can be written is one sentence."""
    with pytest.raises(UsageError, match="cannot be written"):
        write_calibration(tmp_path / "nowhere", Calibration(OURS, FIT))


def test_a_checkpoint_is_the_same_model_with_it(tmp_path: Path) -> None:
    """The file changes neither digest nor loading, and a copy that is made of the model starts
    without it.
    """
    folder = save_tiny_checkpoint(tmp_path / "tiny")
    digest = read_checkpoint(folder).manifest.digest
    write_calibration(folder, Calibration(digest, FIT))
    assert read_checkpoint(folder).manifest.digest == digest
    TinyGPTV.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy" / CALIBRATION).exists()
