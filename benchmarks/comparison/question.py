"""What every system is asked, as its process is told on its command line."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from workers.model.description import Description, describe

REPLICA, PLAIN, JOB, RAY_DATA = "replica", "plain", "job", "ray-data"
SYSTEMS = (REPLICA, PLAIN, JOB, RAY_DATA)
THREE, VOCABULARY, EVERY_TAG = "three", "vocabulary", "every-tag"
LOOKS = {
    THREE: "caption, tags and meme",
    VOCABULARY: "the likeliest of 1,000 tags",
    EVERY_TAG: "the same without a threshold",
}
"""The replica asked something else than captions (looks.py)."""


@dataclass(frozen=True)
class Question:
    """Caption these pictures with this model, on this machine alone."""

    images: str
    """A folder of nothing but whole pictures."""
    model: str
    """A checkpoint folder."""
    device: str
    """cpu or cuda."""
    quant: str
    """What `--quant` says; for the runner alone."""
    batch_size: int
    """Pictures that the runner looks at together."""
    cpus_per_replica: int
    """Threads of each of the job's replicas."""
    new_tokens: int | None = None
    """Tokens of every answer, where that is fixed; None: as many as the answer has."""
    plain_batch: int = 1
    """Pictures that plain transformers take together."""
    actors: int = 1
    """Ray Data's; the machine's cores are divided among them."""
    asked_at: float = 0.0
    """Seconds since the epoch: when the process was started."""

    @classmethod
    def from_json(cls, text: str) -> Question:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def at(self, moment: float) -> Question:
        return replace(self, asked_at=moment)

    @cached_property
    def paths(self) -> list[Path]:
        """The pictures, in the order of their names."""
        return sorted(Path(self.images).iterdir())

    @cached_property
    def checkpoint(self) -> Description:
        return describe(self.model)

    @property
    def quantization(self) -> str:
        """What `quant` means for this checkpoint on this device."""
        return self.checkpoint.quantization(self.quant, self.device)

    @property
    def replicas(self) -> int:
        """As many as the cores hold; a GPU holds one."""
        return max(1, cores() // self.cpus_per_replica) if self.device == "cpu" else 1

    @property
    def threads_per_actor(self) -> int:
        return max(1, cores() // self.actors)


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
