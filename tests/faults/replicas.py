"""Replicas that come to grief, in processes of their own, and leave notes of where they were."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from uuid import uuid4

import ray

from schemas.image import ImageRef, Shard
from schemas.run import PartRecord
from tests.replicas import FakeReplica
from workers.cluster import Labeller
from workers.failpoints import VARIABLE
from workers.messages import Assignment, Caution
from workers.store import Patience

PATIENCE_SECONDS = 1.0
"""Of the store's patience, where a test waits until it is at its end."""


def notes(output: str | Path, kind: str) -> Path:
    """The folder of such notes, beside OUTPUT."""
    folder = Path(f"{output}.notes", kind)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def note(assignment: Assignment, kind: str, text: str) -> None:
    """Leave a note, whole at once."""
    folder = notes(assignment.job.output, kind)
    scratch = folder / f".{uuid4().hex}"
    scratch.write_text(text)
    scratch.rename(folder / uuid4().hex)


def noted(output: str | Path, kind: str) -> list[str]:
    """All notes of the kind."""
    return [
        path.read_text() for path in notes(output, kind).iterdir() if not path.name.startswith(".")
    ]


class NotingReplica(FakeReplica):
    """Notes each start, and the node of each part."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(assignment)
        note(assignment, "starts", str(os.getpid()))

    def commit(self, shard: Shard, caution: Caution) -> PartRecord:
        part = super().commit(shard, caution)
        note(self.assignment, "parts", ray.get_runtime_context().get_node_id())
        return part


class PoisonedReplica(NotingReplica):
    """An image called poison ends its process."""

    def look_at(self, image: ImageRef) -> None:
        if "-poison" in image.uri:
            os.kill(os.getpid(), signal.SIGKILL)


class DoomedReplica(PoisonedReplica):
    """Where there is an image called doomed, the first replica to see it waits for its end, and the
    poison waits until that has come.
    """

    def look_at(self, image: ImageRef) -> None:
        output = self.assignment.job.output
        if "-doomed" in image.uri and not noted(output, "doomed"):
            note(self.assignment, "doomed", str(os.getpid()))
            wait_for_ever()
        if "-poison" in image.uri:
            while not noted(output, "killed"):
                time.sleep(0.01)
        super().look_at(image)


class SlowReplica(NotingReplica):
    """Takes its time until what is to happen meanwhile is over."""

    def look_at(self, image: ImageRef) -> None:
        if not noted(self.assignment.job.output, "over"):
            time.sleep(0.1)


class FrozenReplica(NotingReplica):
    """An image called frozen holds the interpreter's lock and never ends."""

    def look_at(self, image: ImageRef) -> None:
        if "-frozen" in image.uri:
            ctypes.PyDLL(None).sleep(10**6)


def load_stuck(assignment: Assignment) -> Labeller:
    """The real replica, in which the decoder never returns from images called stuck."""
    from workers import replica

    note(assignment, "starts", str(os.getpid()))
    os.environ[VARIABLE] = "decode=hang@-stuck"
    replica.PATIENCE = Patience(PATIENCE_SECONDS)
    return replica.Replica(assignment)


def wait_for_ever() -> None:
    while True:
        time.sleep(3600)
