"""Images and machines that take a replica with them, on a real Ray of three nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from typing import Any

import pytest
import ray

from schemas.outcome import ErrorCode
from schemas.run import Result
from tests.checkpoints import save_tiny_checkpoint
from tests.faults.nodes import Nodes, ray_nodes
from tests.faults.replicas import (
    PATIENCE_SECONDS,
    DoomedReplica,
    FrozenReplica,
    PoisonedReplica,
    SlowReplica,
    load_stuck,
    noted,
    notes,
)
from tests.faults.tables import rows_of
from tests.jobs.commands import wait_for
from tests.pictures import write_pictures
from workers import dispatch, driver
from workers.cluster import Load
from workers.ledger import Attempt
from workers.request import Options, Request, Wish
from workers.store import Patience


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head and two workers; this process is connected to them."""
    with ray_nodes() as nodes:
        ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
        ray.shutdown()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@dataclass
class Job:
    """One job over `images`."""

    images: Path
    output: Path
    checkpoint: Path
    said: list[str] = field(default_factory=list)

    def names(self, count: int, *special: str) -> None:
        """Files without content, for replicas that look at names alone."""
        self.images.mkdir()
        for number in range(count - len(special)):
            (self.images / f"{number:04d}.png").write_bytes(b"x")
        for name in special:
            (self.images / name).write_bytes(b"x")

    def run(self, load: Load, **options: object) -> Result:
        request = Request(
            str(self.images), str(self.output), (Wish("caption"),), str(self.checkpoint)
        )
        return driver.run(request, Options(**options), self.said.append, load).result

    @property
    def starts(self) -> int:
        return len(noted(self.output, "starts"))

    def failed(self) -> dict[str, str]:
        """Error code by name of the image."""
        return {
            Path(row["uri"]).name: row["error_code"]
            for row in self.rows()
            if row["status"] == "failed"
        }

    def rows(self) -> list[dict[str, object]]:
        """All rows, which are one for each image."""
        rows = rows_of(str(self.output))
        assert sorted(Path(row["uri"]).name for row in rows) == sorted(
            path.name for path in self.images.iterdir()
        )
        return rows


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """`work` in a thread while the block runs; what it raises is raised at the end."""
    with ThreadPoolExecutor(1) as thread:
        going = thread.submit(work)
        yield
        going.result()


@pytest.fixture
def job(tmp_path: Path, checkpoint: Path) -> Job:
    return Job(tmp_path / "images", tmp_path / "out", checkpoint)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver looks at its replicas oftener, and waits for none longer than a few seconds."""
    monkeypatch.setattr(driver, "PATIENCE", Patience(PATIENCE_SECONDS))
    monkeypatch.setattr(dispatch, "SECONDS_BETWEEN_LOOKS", 0.5)


def test_one_poison_image_among_two_thousand_costs_one_row(nodes: Nodes, job: Job) -> None:
    """It ends every process that looks at it; the others are labelled, and it is found within
    log2(batch) + 3 starts of a replica.
    """
    job.names(2000, "1234-poison.png")
    result = job.run(PoisonedReplica, replicas=1, batch_size=32, shard_images=256)
    assert (result.items, result.labelled, result.failed) == (2000, 1999, 1)
    assert job.failed() == {"1234-poison.png": ErrorCode.REPLICA_CRASHED}
    assert job.starts <= log2(32) + 3


def test_a_lost_node_is_charged_to_no_image(
    nodes: Nodes, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50 images one poisons while the node of another shard is lost: the poison alone fails, and
    its shard alone is held responsible for crashes.
    """
    job.names(50, "0007-poison.png", "0031-doomed.png")
    charged: Counter[int] = Counter()
    charge = driver.Ledger.charge

    def counted(self: driver.Ledger, attempt: Attempt, *rest: Any) -> None:
        charged[attempt.shard.index] += 1
        charge(self, attempt, *rest)

    monkeypatch.setattr(driver.Ledger, "charge", counted)

    def lose_a_node() -> None:
        wait_for(lambda: bool(noted(job.output, "doomed")), "the doomed image is looked at")
        process = int(noted(job.output, "doomed")[0])
        nodes.kill(nodes.under(process))
        (notes(job.output, "killed") / "a node").write_text("")

    with beside(lose_a_node):
        result = job.run(DoomedReplica, replicas=2, batch_size=8, shard_images=10)
    nodes.add()
    assert (result.items, result.labelled) == (50, 49)
    assert job.failed() == {"0007-poison.png": ErrorCode.REPLICA_CRASHED}
    assert set(charged) == {0}, "the shard of the poison is the first one"


def test_nodes_come_and_go(nodes: Nodes, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are added during a run get work; those that are taken away lose nothing."""
    monkeypatch.setattr(dispatch, "SECONDS_BETWEEN_LOOKS", 0.5)
    job.names(900)
    before = nodes.workers

    def change_the_cluster() -> None:
        wait_for(lambda: len(noted(job.output, "parts")) >= 2, "the run is under way")
        # one CPU of a cluster is left free: with two nodes more there is no room for all replicas
        # on the nodes of before
        added = {nodes.add().node_id, nodes.add().node_id}
        wait_for(lambda: bool(added & set(noted(job.output, "parts"))), "a new node has work")
        for node in before:
            nodes.take_away(node)
        (notes(job.output, "over") / "all").write_text("")

    with beside(change_the_cluster):
        result = job.run(SlowReplica, batch_size=5, shard_images=10)
    assert (result.items, result.labelled) == (900, 900)
    assert len(job.rows()) == 900
    assert not [line for line in job.said if "lost in shard" in line]


def test_a_decoder_that_never_returns_costs_one_row_and_one_replica(
    nodes: Nodes, job: Job, impatient: None
) -> None:
    """The real replica goes on without the thread that hangs, and another takes its place."""
    write_pictures(job.images, 23)
    (job.images / "picture-0005.png").rename(job.images / "picture-0005-stuck.png")
    result = job.run(load_stuck, replicas=1, batch_size=2, shard_images=6, item_seconds=8.0)
    assert (result.items, result.labelled) == (23, 22)
    assert job.failed() == {"picture-0005-stuck.png": ErrorCode.TIMED_OUT}
    assert job.starts == 2
    assert not [line for line in job.said if "lost" in line]


def test_a_hang_that_no_thread_can_tell_of_ends_too(
    nodes: Nodes, job: Job, impatient: None
) -> None:
    """A process that is frozen whole says nothing, for which it is ended; its image is found."""
    job.names(24, "0005-frozen.png")
    result = job.run(FrozenReplica, replicas=1, batch_size=2, shard_images=6, item_seconds=0.2)
    assert (result.items, result.labelled) == (24, 23)
    assert job.failed() == {"0005-frozen.png": ErrorCode.TIMED_OUT}
    assert job.starts <= log2(2) + 3
