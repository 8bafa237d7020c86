"""The golden sets, converted once by the command that users run, and read through the one door."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.golden import Golden, State
from workers.model import TinyGPTV

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", params=["A", "B"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each set in turn."""
    return Golden(request.param)


@pytest.fixture(scope="session")
def checkpoint(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set's checkpoint folder, made in a process of its own."""
    out = tmp_path_factory.mktemp("parity") / golden.name
    command = [sys.executable, "jobs/convert_checkpoint.py", *golden.arguments(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> TinyGPTV:
    """The network of the set."""
    return TinyGPTV.from_pretrained(checkpoint)


@pytest.fixture(scope="session")
def expected(golden: Golden) -> State:
    """What the authors' code computed."""
    return golden.tensors


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield
