"""The captioning job on a cluster: submitted, and from a shell that RAY_ADDRESS leads there."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.jobs.clusters import BIN, Cluster, ray_head
from tests.jobs.commands import CAPTION, PATIENCE, ROOT
from tests.pictures import write_pictures


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with two CPUs; Ray's sockets want a short path."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        ray_head(Path(folder), cpus=2) as head,
    ):
        yield head


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path / "images", 12)


def submit(cluster: Cluster, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """`ray job submit --working-dir . -- command`, waited for."""
    return subprocess.run(
        [
            *(str(BIN / "ray"), "job", "submit", "--address", cluster.dashboard),
            *("--working-dir", ".", "--", *map(str, command)),
        ],
        cwd=ROOT,
        env=cluster.environment,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )


def captions(output: Path) -> list[str]:
    """The captions of the only run, in the order of the images."""
    table = pq.read_table(output / "labels" / "run=00000001", partitioning=None).sort_by("uri")
    return list(table["caption"].to_pylist())


def test_a_submitted_job_labels_its_images(
    cluster: Cluster, model: Path, images: list[Path], tmp_path: Path
) -> None:
    """`ray job submit` with the repository as working folder: exit code 0, and all labels."""
    output = tmp_path / "out"
    ended = submit(
        cluster, "python", "jobs/caption_bucket.py", images[0].parent, output, "--model", model
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "12 of 12 images labelled" in ended.stdout
    assert captions(output) == tiny_model().caption(images)


def test_a_submitted_job_that_is_refused_has_failed(cluster: Cluster, tmp_path: Path) -> None:
    """Bad usage makes the job one that FAILED, with the driver's sentence and exit code."""
    ended = submit(
        cluster,
        "python",
        "jobs/caption_bucket.py",
        tmp_path / "none",
        tmp_path / "out",
        "--model",
        "x",
    )
    assert ended.returncode == 1
    assert "caption_bucket: there is no model 'x'" in ended.stdout
    assert "exit code 2" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_a_shell_that_knows_the_address_needs_no_submission(
    cluster: Cluster, model: Path, images: list[Path], tmp_path: Path
) -> None:
    """With RAY_ADDRESS the command works there, from any folder; its code is sent along."""
    output = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, CAPTION, images[0].parent, output, "--model", model],
        cwd=tmp_path,
        env=cluster.environment | {"RAY_ADDRESS": cluster.address},
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr
    assert "1 replica on cpu" in ended.stderr
    assert captions(output) == tiny_model().caption(images)


def test_a_cluster_that_is_not_there_is_bad_usage(
    cluster: Cluster, model: Path, images: list[Path], tmp_path: Path
) -> None:
    """An address at which nothing listens is one sentence and exit code 2, soon."""
    ended = subprocess.run(
        [sys.executable, CAPTION, images[0].parent, tmp_path / "out", "--model", model],
        env=cluster.environment | {"RAY_ADDRESS": "127.0.0.1:1"},
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "no connection to Ray at 127.0.0.1:1" in ended.stderr
