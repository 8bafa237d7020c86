"""The authors' containers: a damaged one is told, whatever its reader trips over."""

import random
from pathlib import Path

import pytest
import torch

from schemas.outcome import CheckpointError
from workers.model.authors.files import open_file


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_damaged_torch_file(zipped: bool, tmp_path: Path) -> None:
    """Cut or with a changed byte, a torch file opens or is refused by a CheckpointError."""
    path = tmp_path / "stage.pth"
    state = {f"layer.{index}.weight": torch.zeros(2, 3) for index in range(3)}
    torch.save({"model": state}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    dice = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        else:
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        try:
            open_file("stage", path)
        except CheckpointError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 100
