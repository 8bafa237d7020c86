"""The folder of a training: what survives a kill.

state.pt       where it is, the weights and the optimizer; replaced as a whole
losses.jsonl   one record every few steps, cut back to the state when the training goes on
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from schemas.outcome import UsageError

_CALLED = {
    "seed": "--seed",
    "corpus": "CORPUS",
    "stages": "list of stages (workers/training/stages.py)",
    "tokenizer": "tokenizer",
}


@dataclass(frozen=True)
class Identity:
    """What makes one training differ from another: it goes on with the same or not at all."""

    seed: int
    corpus: str
    """Hex SHA-256 of corpus.json."""
    stages: str
    """The stages as text."""
    tokenizer: str
    """tokenizer.json."""


@dataclass(frozen=True)
class Progress:
    """Where a training is: the stage's index in STAGES and the next step in it."""

    stage: int = 0
    step: int = 0


@dataclass(frozen=True)
class State:
    """What `TrainingFolder.load` found.

    `optimizer` is None between two stages; `average` is the weights' moving average, within a stage
    that has one.
    """

    progress: Progress
    learner: dict[str, torch.Tensor]
    optimizer: dict[str, Any] | None
    average: dict[str, torch.Tensor] | None = None


class TrainingFolder:
    """Saves and loads one training; refuses to go on with another."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._state = folder / "state.pt"
        self._log = folder / "losses.jsonl"
        self._identity = asdict(identity)
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, device: str) -> State | None:
        """The saved state, if there is one; records of later steps leave the log.

        Raises:
            UsageError: the state is another training's.
        """
        if not self._state.exists():
            self._cut_log(0)
            return None
        state = torch.load(self._state, map_location=device, weights_only=True)
        self._refuse_another(state["identity"])
        self._cut_log(state["log_bytes"])
        return State(
            Progress(**state["progress"]), state["learner"], state["optimizer"], state["average"]
        )

    def save(self, state: State) -> None:
        """Replace the saved state, in one operation."""
        content = {
            "identity": self._identity,
            "progress": asdict(state.progress),
            "log_bytes": self._log.stat().st_size,
            "learner": state.learner,
            "optimizer": state.optimizer,
            "average": state.average,
        }
        partial = self._state.with_suffix(".partial")
        torch.save(content, partial)
        os.replace(partial, self._state)

    def record(self, record: Mapping[str, object]) -> None:
        """One more line in the log."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def _cut_log(self, size: int) -> None:
        with self._log.open("ab") as log:
            log.truncate(min(size, log.tell()))

    def _refuse_another(self, saved: Mapping[str, object]) -> None:
        for name, value in self._identity.items():
            if saved[name] != value:
                told = f" ({saved[name]}, not {value})" if name == "seed" else ""
                raise UsageError(
                    f"{self._state} was saved with another {_CALLED[name]}{told}; "
                    "go on with the same, or name an OUT that is new"
                )
