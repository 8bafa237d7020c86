"""The driver on a real Ray: actors that die, do not start, or cannot write."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

from schemas.outcome import (
    BusyError,
    CheckpointError,
    ExitCode,
    LimitReachedError,
    ReplicaError,
    StoppedError,
    StoreError,
    UsageError,
)
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_pictures
from tests.replicas import (
    DeadlyReplica,
    FakeReplica,
    MistakenReplica,
    NoStoreReplica,
    SignallingReplica,
    WitnessedReplica,
    does_not_load,
    image_lives,
)
from workers import heartbeat
from workers.cluster import Load
from workers.cluster.connection import _join, _start
from workers.cluster.resources import _shares
from workers.driver import Finished, load_replica, run
from workers.heartbeat import beating
from workers.plan import Run, freeze, read_plan, read_spec
from workers.request import Options, Request, Wish


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all tests of this file: a driver stays with the one it is connected to."""
    ray.init(
        address="local",  # whatever other Ray runs here
        num_cpus=3,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path / "images", 24)


@pytest.fixture
def label(
    images: list[Path], checkpoint: Path, tmp_path: Path
) -> Callable[..., tuple[Finished, list[str]]]:
    """Runs the job on all images in shards of three; the end of it and what it said."""

    def call(
        load: Load = FakeReplica,
        said: list[str] | None = None,
        incremental: bool = False,
        **options: object,
    ) -> tuple[Finished, list[str]]:
        said = [] if said is None else said
        request = Request(
            str(tmp_path / "images"),
            str(tmp_path / "out"),
            (Wish("caption"),),
            str(checkpoint),
            incremental=incremental,
            quantization="none",
        )
        settings = {"replicas": 2, "shard_images": 3, "batch_size": 2} | options
        return run(request, Options(**settings), said.append, load), said

    return call


def rows_of(output: Path, run_id: str = "00000001") -> list[str]:
    """The images of all rows of a run."""
    table = pq.read_table(output / "labels" / f"run={run_id}", partitioning=None)
    return [str(uri) for uri in table["uri"].to_pylist()]


Label = Callable[..., tuple[Finished, list[str]]]


def test_every_image_is_a_row_of_the_real_replica(label: Label, tmp_path: Path) -> None:
    """A run of several shards on two replicas with a real network ends whole."""
    finished, said = label(load_replica)
    assert not finished.before
    assert (finished.result.items, finished.result.labelled) == (24, 24)
    assert sorted(rows_of(tmp_path / "out")) == [
        str(p) for p in sorted((tmp_path / "images").iterdir())
    ]
    assert "24 images in 8 shards" in said[0]
    assert "2 replicas on cpu" in said[0]


def test_a_finished_run_is_not_done_again(label: Label, tmp_path: Path) -> None:
    """The same job finds its finished run; --new-run labels everything once more."""
    first, _ = label()
    again, said = label()
    assert again.before
    assert again.result == first.result
    assert not said
    afresh, _ = label(new_run=True)
    assert (afresh.before, afresh.run.spec.run_id) == (False, "00000002")
    assert len(rows_of(tmp_path / "out", "00000002")) == 24


def test_a_shard_that_killed_its_replica_is_run_again(
    label: Label, images: list[Path], tmp_path: Path
) -> None:
    """Replicas that die are replaced, and what they had is labelled by others, once each."""
    for image in (images[4], images[19]):
        image_lives(image).write_text("2")
    finished, said = label(DeadlyReplica)
    assert finished.result.labelled == 24
    assert sorted(rows_of(tmp_path / "out")) == [str(path) for path in images]
    died = [line for line in said if "a replica was lost in shard" in line]
    assert sorted(line.partition(",")[0][-1] for line in died) == ["1", "1", "6", "6"]
    assert all("process has died" in line for line in died)


def test_an_image_that_kills_every_replica_is_a_failed_row(
    label: Label, images: list[Path], tmp_path: Path
) -> None:
    """Within log2(batch) + 3 replicas; all others are labelled, those beside it included."""
    image_lives(images[7]).write_text("99")
    # one replica: with two the shard may have been doubled, which costs one more
    finished, said = label(DeadlyReplica, batch_size=3, replicas=1)
    assert (finished.result.labelled, finished.result.failed) == (23, 1)
    assert finished.result.failed_by_code == {"replica_crashed": 1}
    assert sorted(rows_of(tmp_path / "out")) == [str(path) for path in images]
    assert int(image_lives(images[7]).read_text()) >= 99 - 4  # the fifth start is the last
    assert all("shard 2" in line for line in said if "was lost" in line)


def test_replicas_that_do_not_start_stop_the_run(label: Label) -> None:
    """After three in a row the run ends with the reason."""
    with pytest.raises(ReplicaError, match="RuntimeError: no driver for this device"):
        label(does_not_load)


def test_a_model_that_changed_since_it_was_planned_with_is_bad_usage(
    label: Label, checkpoint: Path
) -> None:
    """What a replica raises of ours is not tried again and keeps its type."""
    weights = checkpoint / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"x")
    try:
        with pytest.raises(CheckpointError) as stop:
            label(load_replica, replicas=1)
    finally:
        weights.write_bytes(whole)
    assert stop.value.exit_code == ExitCode.USAGE


def test_a_mistake_of_the_program_is_called_one(label: Label) -> None:
    """What a replica raises that nobody foresaw is shown once with its traceback, and named as the
    reason when the run stops.
    """
    said: list[str] = []
    with pytest.raises(ReplicaError, match="a bug of this program: KeyError: 'no such column'"):
        label(MistakenReplica, replicas=1, said=said)
    traces = [line for line in said if line.startswith("this is a bug of")]
    assert len(traces) == 1
    assert "in look_at" in traces[0]


@pytest.mark.parametrize(
    ("gpus", "each", "replicas"), [(1, 0.2, 5), (1, 0.1, 10), (2, 0.3, 6), (3, 2, 1), (0, 0.5, 0)]
)
def test_parts_of_a_gpu_are_parts_of_one(gpus: float, each: float, replicas: int) -> None:
    """As many replicas as fit on each GPU, tenths added up as people add them."""
    assert _shares(gpus, each) == replicas


def test_a_run_goes_on_as_it_was_planned(label: Label) -> None:
    """Another batch size does not change the labels of a run that is planned, and is told so."""
    with pytest.raises(StoreError):
        label(NoStoreReplica)
    finished, said = label(batch_size=3)
    assert finished.result.labelled == 24
    assert said[0] == "this run was planned for cpu and batches of 2, and goes on so"


def test_what_no_device_here_can_is_refused_before_a_run_is_claimed(
    images: list[Path], checkpoint: Path, tmp_path: Path
) -> None:
    """--quant fp8 on a cluster without a GPU leaves nothing behind."""
    places = str(tmp_path / "images"), str(tmp_path / "out")
    request = Request(*places, (Wish("caption"),), str(checkpoint), quantization="fp8")
    with pytest.raises(UsageError, match="fp8 needs a GPU"):
        run(request, Options(), print)
    assert not list((tmp_path / "out").rglob("spec.json"))


def test_a_cluster_without_room_is_told_of(label: Label) -> None:
    """On a cluster that may grow, a job that did not say how many replicas asks for one."""
    finished, said = label(replicas=None, cpus_per_replica=3, load=FakeReplica)
    assert finished.result.labelled == 24
    assert said[0].startswith("the cluster has no room yet for a replica, which asks for 3 CPUs")


def test_relative_paths_are_refused_in_a_submitted_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would lead into the copy of the job's package, which is gone afterwards."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    for input, output, named in (("images", "/out", "INPUT"), ("/in", "file://out", "OUTPUT")):
        with pytest.raises(UsageError, match=rf"{named} .* is a relative path"):
            run(Request(input, output, (Wish("caption"),), "pocket"), Options(), print)


def test_a_store_that_is_down_stops_the_run(label: Label) -> None:
    """Exit code 75: the same command goes on when the store is back."""
    with pytest.raises(StoreError) as stop:
        label(NoStoreReplica)
    assert stop.value.exit_code == ExitCode.INTERRUPTED
    finished, _ = label()
    assert finished.result.labelled == 24


def test_a_signal_lets_the_shards_under_way_end(
    label: Label, images: list[Path], tmp_path: Path
) -> None:
    """SIGTERM ends the run with 75 once what was begun is committed; the next does the rest."""
    images[0].with_suffix(".pid").write_text(str(os.getpid()))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError) as stop:
        label(SignallingReplica, replicas=1)
    assert stop.value.exit_code == ExitCode.INTERRUPTED
    assert "the same command goes on" in str(stop.value)
    assert signal.getsignal(signal.SIGTERM) is before
    done = len(rows_of(tmp_path / "out"))
    assert 3 <= done <= 6
    finished, said = label()
    assert finished.result.labelled == 24
    told = re.search(r"(\d+) images done", said[0])
    assert told  # what was begun may have been committed after the rows were counted
    assert done <= int(told[1]) <= 6
    assert sorted(rows_of(tmp_path / "out")) == [str(path) for path in images]


def test_a_new_run_that_was_stopped_is_gone_on_with_without_the_flag(
    label: Label, images: list[Path], tmp_path: Path
) -> None:
    """The sentence names the command that goes on; the one with --new-run would begin another."""
    images[0].with_suffix(".pid").write_text(str(os.getpid()))
    with pytest.raises(StoppedError, match="the same command without --new-run goes on"):
        label(SignallingReplica, replicas=1, new_run=True)
    finished, _ = label()
    assert finished.run.spec.run_id == "00000001"


def test_a_machine_too_busy_for_ray_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """When Ray gives up on its own node, the run is interrupted with one sentence, not broken."""

    def give_up(**_: object) -> None:
        raise Exception("The current node timed out during startup")  # just what Ray raises

    monkeypatch.setattr(ray, "init", give_up)
    with pytest.raises(StoppedError, match=r"in time on this machine .*same command goes on"):
        _start({})


def test_a_cluster_of_another_version_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray refuses to speak with another Ray, or another Python, and we say so."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 1.0\n")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UsageError, match=r"RAY_ADDRESS names \(Version mismatch: .* Ray: 1.0\);"):
        _join("auto", {})


def test_a_night_stops_at_its_limits_and_the_next_goes_on(
    label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its time it begins nothing more; what it planned is for the next night, as far as that
    one's limit goes; then nothing is owed, and nobody is asked to look.
    """
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 0.0)  # nobody else is there

    def night(load: Load = FakeReplica, **options: object) -> Finished:
        return label(load, incremental=True, **options)[0]

    with pytest.raises(LimitReachedError, match=r"at 0 images .*its time is over; 24 owed"):
        night(until=time.monotonic())
    with pytest.raises(
        LimitReachedError,
        match=r"at 9 images .*the next part would be more than the 2 that are left; 15 owed",
    ):
        night(most_images=11)
    smaller = night(most_images=2)  # than a shard: what is owed is cut anew
    assert (smaller.planned_before, smaller.result.items) == (False, 2)
    assert smaller.result.skipped == {"settled": 9, "left": 13}
    rest = night()
    assert (rest.planned_before, rest.result.items) == (False, 13)
    looked = [name for run in (1, 2, 3) for name in rows_of(tmp_path / "out", f"{run:08d}")]
    assert sorted(looked) == sorted(map(str, (tmp_path / "images").iterdir()))
    idle = night(does_not_load)
    assert (idle.planned_before, idle.result.items) == (False, 0)
    assert idle.result.skipped == {"settled": 24}


def test_a_night_leaves_the_run_of_another_night_to_it(
    label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a driver works on the unfinished run, a second night says so and does nothing."""
    with pytest.raises(LimitReachedError):
        label(incremental=True, until=time.monotonic())
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_BEATS", 0.1)
    out = str(tmp_path / "out")
    with beating(out, "00000001", print), pytest.raises(BusyError, match="run 00000001 is being"):
        label(does_not_load, incremental=True)


def damage(run: Run) -> None:
    """Write over a page of the run's plan."""
    plan = read_plan(run)
    assert plan
    Path(run.output, plan.pages[0].name).write_bytes(b"other")


def another_device(run: Run) -> None:
    """Plan the run as a night on a GPU would."""
    Path(run.output, run.names.plan).unlink()
    freeze(run, 3, lambda: ("cuda", 2))


@pytest.mark.parametrize(
    ("hinder", "why"),
    [(damage, "cannot be gone on with"), (another_device, "was planned for cuda, and cpu is")],
)
def test_a_night_is_not_held_up_by_one_that_cannot_be_gone_on_with(
    label: Label,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hinder: Callable[[Run], None],
    why: str,
) -> None:
    """It says why, leaves that run behind, and plans anew what it owes; the next night too."""
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 0.0)
    with pytest.raises(LimitReachedError):
        label(incremental=True, until=time.monotonic())
    spec = read_spec(str(tmp_path / "out"), 1)
    assert spec
    hinder(Run(spec, finished=False))
    finished, said = label(incremental=True)
    assert [line for line in said if line.startswith(f"run 00000001 {why}")]
    assert (finished.run.spec.run_id, finished.result.labelled) == ("00000002", 24)
    assert label(does_not_load, incremental=True)[0].run.spec.run_id == "00000003"


def test_a_night_has_witnesses_from_before(label: Label, images: list[Path]) -> None:
    """Where it looks at one image alone, it can still tell whether the store gives others."""
    label(incremental=True)
    os.utime(images[5], (1, 1))
    finished, _ = label(WitnessedReplica, incremental=True)
    assert (finished.result.items, finished.result.labelled) == (1, 1)


def test_a_night_leaves_what_a_run_that_lives_is_about_to_do(
    label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is no night, over the same INPUT and to mean the same, is waited for."""
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_BEATS", 0.1)
    label()
    out = tmp_path / "out"
    (out / "runs" / "00000001" / "result.json").unlink()
    with beating(str(out), "00000001", print), pytest.raises(BusyError, match="run 00000001"):
        label(does_not_load, incremental=True)
    assert not (out / "runs" / "00000002").exists()
