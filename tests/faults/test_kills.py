"""The real command, killed at each step of the commit: the same command again ends it, and the rows
are those of a run that nothing happened to.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints import save_tiny_checkpoint
from tests.faults.nodes import Nodes, ray_nodes
from tests.faults.tables import SAME, compare, rows_of
from tests.jobs.commands import caption, captioning, wait_for
from tests.pictures import write_broken, write_pictures
from tests.seaweed import Server


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command's flags, over 29 pictures and three files that are none, in eight shards."""
    model = save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")
    write_pictures(model.parent / "images", 29)
    write_broken(model.parent / "images")
    flags = "--replicas 1 --batch-size 2 --shard-images 4".split()
    return [str(model.parent / "images"), "--model", str(model), *flags]


@pytest.fixture(scope="module")
def undisturbed(
    job: list[str], nodes: Nodes, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, object]]:
    """The rows of a run that nothing happened to."""
    output = str(tmp_path_factory.mktemp("undisturbed"))
    ended = caption(*job, output, **nodes.environment())
    assert ended.returncode == 0, ended.stderr
    return rows_of(output)


def dies(job: list[str], output: str, nodes: Nodes, failpoint: str, **more: str) -> None:
    """The command, whose driver gets to `failpoint` and no further."""
    ended = caption(*job, output, **nodes.environment(f"{failpoint}", **more))
    assert ended.returncode == -signal.SIGKILL, (failpoint, ended.stderr)


def dies_while_a_part_is_created(
    job: list[str], output: str, nodes: Nodes, failpoints: list[str], marks: Path, **more: str
) -> None:
    """The command, whose replica dies at all `failpoints` but the last; the driver when it hangs
    there.
    """
    marks.mkdir()
    *deaths, last = failpoints
    armed = [f"{one.replace('@', '=kill@')}!{marks / one}" for one in deaths]
    armed.append(f"{last.replace('@', '=hang@')}!{marks / last}")
    environment = nodes.environment(",".join(armed), **more)
    with captioning(*job, output, **environment) as driver:
        arrived = (marks / last).exists
        wait_for(lambda: arrived() or driver.poll() is not None, f"a replica gets to {last}")
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    assert sorted(os.listdir(marks)) == sorted(failpoints)


def test_on_a_disk(
    job: list[str], nodes: Nodes, undisturbed: list[dict[str, object]], tmp_path: Path
) -> None:
    """The driver dies at each thing that it creates, and its replica before, in the midst of and
    after a part; neither scratch files nor zombies change a row.
    """
    output = str(tmp_path / "out")
    for failpoint in ("linked=kill@spec.json", "scratched=kill@page-", "created=kill@plan.json"):
        dies(job, output, nodes, failpoint)
    parts = ["create@part-00001", "scratched@part-00002", "linked@part-00003", "created@part-00004"]
    dies_while_a_part_is_created(job, output, nodes, parts, tmp_path / "marks")
    dies(job, output, nodes, "linked=kill@result.json")
    ended = caption(*job, output, **nodes.environment())
    assert (ended.returncode, ended.stdout.split(" ")[:2]) == (0, ["Run", "00000001"])
    assert compare(undisturbed, rows_of(output)) == SAME
    assert not Path(output, "runs", "00000002").exists()


def test_in_a_bucket(
    job: list[str],
    nodes: Nodes,
    undisturbed: list[dict[str, object]],
    bucket: str,
    s3_server: Server,
    tmp_path: Path,
) -> None:
    """The same on a store, whose one request is either not sent yet or not answered yet."""
    more = s3_server.environment
    dies(job, bucket, nodes, "created=kill@spec.json", **more)
    dies(job, bucket, nodes, "create=kill@plan.json", **more)
    parts = ["create@part-00001", "created@part-00003"]
    dies_while_a_part_is_created(job, bucket, nodes, parts, tmp_path / "marks", **more)
    dies(job, bucket, nodes, "create=kill@result.json", **more)
    ended = caption(*job, bucket, **nodes.environment(**more))
    assert ended.returncode == 0, ended.stderr
    assert compare(undisturbed, rows_of(bucket)) == SAME
