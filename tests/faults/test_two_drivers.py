"""Two drivers on one OUTPUT while INPUT grows and others read: real processes, disk and bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import fsspec
import pytest

from schemas.run import RUNS, Plan
from tests.checkpoints import save_tiny_checkpoint
from tests.faults.nodes import Nodes, ray_nodes
from tests.faults.reader import READERS
from tests.faults.tables import rows_of
from tests.jobs.commands import PATIENCE, ROOT, captioning, environment
from tests.pictures import picture
from tests.seaweed import Server
from workers.plan import Run, load_shards, read_plan, read_result, read_spec
from workers.store import folders

FLAGS = "--replicas 1 --batch-size 2 --shard-images 3".split()
AT_FIRST = 30
"""Images that are there when the drivers start."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


class Growing:
    """A folder or bucket to which a thread adds images."""

    def __init__(self, place: str) -> None:
        self._store, self._path = fsspec.url_to_fs(place)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._grow)
        self.count = 0
        for _ in range(AT_FIRST):
            self._add()

    def __enter__(self) -> Growing:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._over.set()
        self._thread.join()

    def _grow(self) -> None:
        while not self._over.wait(0.05):
            self._add()

    def _add(self) -> None:
        """Whole at once, on a disk too; before and after what is there."""
        name = f"{self._path}/{self.count * 7919 % 10000:04d}.png"
        self._store.makedirs(self._path, exist_ok=True)
        if "file" in self._store.protocol:
            Path(f"{name}.scratch").write_bytes(picture(self.count))
            os.rename(f"{name}.scratch", name)
        else:
            self._store.pipe_file(name, picture(self.count))
        self.count += 1


@contextmanager
def reading(output: str, until: Path, variables: dict[str, str]) -> Iterator[None]:
    """Readers in processes of their own, which saw nothing wrong once the block is over."""
    readers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.reader", name, output, str(until)],
            cwd=ROOT,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in READERS
    ]
    with ExitStack() as stack:
        for reader in readers:
            stack.callback(reader.kill)
        yield
        until.touch()
        for reader in readers:
            told = json.loads(reader.communicate(timeout=PATIENCE)[0])
            assert told["wrong"] == []
            assert told["polls"] > 5
            assert told["rows"] >= AT_FIRST


def require_whole(output: str, ordinal: int) -> Plan:
    """The run has one plan, and just its items as rows, of just that plan."""
    spec = read_spec(output, ordinal)
    assert spec is not None
    run = Run(spec, finished=True)
    plan, result = read_plan(run), read_result(run)
    assert plan is not None
    rows = rows_of(output, run.names.run_id)
    planned = [image.item_id for shard in load_shards(run, plan) for image in shard.images]
    assert [row["item_id"] for row in rows] == planned
    assert {row["run_id"] for row in rows} == {run.names.run_id}
    assert (result.plan_digest, result.labelled, result.failed) == (plan.digest, plan.items, 0)
    return plan


@pytest.mark.parametrize("flags", [[], ["--new-run"]], ids=["one run", "two runs"])
def test_two_drivers_are_one_run_or_two(
    flags: list[str], store: str, nodes: Nodes, model: str, s3_server: Server, tmp_path: Path
) -> None:
    """They share one plan, or with --new-run make two whole ones; what came to INPUT meanwhile is
    in the plan or not at all, and readers see each row once and always the same.
    """
    variables = s3_server.environment
    images, output = f"{store}/images", f"{store}/labels"
    job = [images, output, "--model", model, *FLAGS, *flags]
    with (
        Growing(images) as growing,
        reading(output, tmp_path / "until", variables),
        captioning(*job, **nodes.environment(**variables)) as one,
        captioning(*job, **nodes.environment(**variables)) as other,
    ):
        errors = [driver.communicate(timeout=PATIENCE)[1] for driver in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0), errors
    ordinals = [1, 2] if flags else [1]
    runs = [name for name in folders(f"{output}/{RUNS}") if not name.startswith(".")]
    assert sorted(runs) == [f"{ordinal:08d}" for ordinal in ordinals]
    for ordinal in ordinals:
        assert AT_FIRST <= require_whole(output, ordinal).items < growing.count
