"""A run on a real Ray, as Prometheus reads it on the node and as a person at a terminal sees it."""

import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from jobs.display import display
from schemas.outcome import StoppedError
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_pictures
from tests.replicas import DeadlyReplica, SignallingReplica, image_lives
from tests.terminals import terminal
from workers.cluster import Load, Say
from workers.driver import run
from workers.progress import Show, unseen
from workers.request import Options, Request, Wish

SECONDS = 60
"""Until a node must have told; it does so every 200 ms here, every 10 s usually."""

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""By name, and the tags that are ours."""


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """As a job starts its own, without a dashboard."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level="ERROR",
        _system_config={"metrics_report_interval_ms": 200},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def label(
    folder: Path,
    checkpoint: Path,
    load: Load,
    say: Say = print,
    show: Show = unseen,
    **options: object,
) -> None:
    """Runs the job on the images of `folder` in shards of three."""
    output = str(folder / "out")
    request = Request(str(folder / "images"), output, (Wish("caption"),), str(checkpoint))
    settings = {"replicas": 1, "shard_images": 3, "batch_size": 2} | options
    run(request, Options(**settings), say, load, show)


def served(output: Path) -> Values:
    """What the node's endpoint has of ours, of the runs into `output`."""
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name, frozenset((name, sample.labels[name]) for name in tags)): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("output") == str(output)
        for tags in [{"status", "error_code", "state"} & sample.labels.keys()]
    }


def told(name: str, **tags: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"ray_bucketsight_{name}", frozenset(tags.items())


def test_a_nodes_endpoint_serves_what_became_of_a_run(tmp_path: Path, checkpoint: Path) -> None:
    """After two runs into one OUTPUT counters have the sum of both, and nothing runs or is owed."""
    images = write_pictures(tmp_path / "images", 12)
    image_lives(images[4]).write_text("99")
    label(tmp_path, checkpoint, DeadlyReplica)
    image_lives(images[4]).write_text("0")
    label(tmp_path, checkpoint, DeadlyReplica, new_run=True)
    expected = {
        told("images_total", status="labelled"): 23,
        told("images_total", status="failed"): 1,
        told("failures_total", error_code="replica_crashed"): 1,
        told("replica_crashes_total"): 3,
        told("images_owed"): 0,
        told("images_per_second"): 0,
        told("replicas", state="running"): 0,
        told("replicas", state="wanted"): 0,
        told("shards", state="committed"): 4,
        told("shards", state="owed"): 0,
    }
    deadline, values = time.monotonic() + SECONDS, {}
    while values != expected and time.monotonic() < deadline:
        time.sleep(0.1)
        values = served(tmp_path / "out")
    assert values == expected


def test_a_drain_leaves_a_clean_terminal(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SIGTERM in the middle of a run that is drawn: its message, the last drawing, the cursor."""
    images = write_pictures(tmp_path / "images", 12)
    images[1].with_suffix(".pid").write_text(str(os.getpid()))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with terminal(100) as ours:
        with pytest.raises(StoppedError, match="3 shards owed"), display(ours.stream) as seen:
            label(tmp_path, checkpoint, SignallingReplica, seen.say, seen.show)
        ours.stream.write("the next words\n")
    assert not ours.cursor_is_hidden
    started, stopping, drawn, speed, after = ours.lines()
    assert started.startswith("run 00000001: 12 images in 4 shards, 0 images done; 1 replica on")
    assert stopping == "stopping; shards under way have 25 s to end"
    assert drawn.endswith("━ 3 of 12 images")
    assert speed.endswith(" images/s, 1 of 4 shards")
    assert after == "the next words"
