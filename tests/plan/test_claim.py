"""Which run a driver works on."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest
import s3fs

from schemas.job import JobSpec
from schemas.outcome import UsageError
from schemas.rows import row_schema
from schemas.run import RunNames
from tests.runs import SCHEMAS, job_spec, png, put, rows
from workers.plan import Run, finish, freeze, load_shards, open_run, open_run_of, read_spec
from workers.sink import commit_part
from workers.store import fetch, list_pages


def job(store: str, name: str = "out", images: int = 3, **changes: object) -> JobSpec:
    """A job on a fresh INPUT of `images` pictures."""
    for number in range(images):
        put(store, f"in/{number}.png", png())
    return job_spec(f"{store}/in", f"{store}/{name}", **changes)


def complete(run: Run) -> None:
    """Do all that a driver does."""
    plan = freeze(run, None, lambda: ("cpu", 8))
    for shard in load_shards(run, plan):
        run_id = run.spec.run_id
        labels = rows(shard, run_id)
        commit_part(run.output, run_id, plan.digest, shard, labels, row_schema(SCHEMAS), "a")
    finish(run, plan, {})


def test_a_first_driver_claims_and_a_second_joins(store: str) -> None:
    """The first claim is ordinal 1; the same job again finds that run, until it is finished."""
    first = open_run(job(store))
    assert (first.spec.run_id, first.finished) == ("00000001", False)
    second = open_run(job(store))
    assert second == first
    complete(second)
    assert open_run(job(store)) == Run(first.spec, finished=True)


def test_a_new_run_starts_afresh(folder: str) -> None:
    """--new-run claims the next ordinal beside a finished run, and beside an unfinished one."""
    complete(open_run(job(folder)))
    again = open_run(job(folder), new_run=True)
    assert again.spec.run_id == "00000002"
    assert open_run(job(folder)).spec == again.spec
    assert open_run(job(folder), new_run=True).spec.run_id == "00000003"


def test_another_job_has_a_run_of_its_own(folder: str) -> None:
    """Runs of other prompts lie beside each other, and each job finds its own again."""
    red, blue = job(folder, prompt="red <ImageHere>"), job(folder, prompt="blue <ImageHere>")
    assert open_run(red).spec.run_id == "00000001"
    assert open_run(blue).spec.run_id == "00000002"
    complete(open_run(blue))
    found = open_run(red)
    assert (found.spec.run_id, found.finished) == ("00000001", False)
    assert open_run(blue).finished


def by_device(store: str) -> dict[str, JobSpec]:
    """What `--quant auto` means on a CPU, and on a GPU."""
    on_cpu = job(store, quantization="int8")
    return {"cpu": on_cpu, "cuda": replace(on_cpu, quantization="bf16")}


def not_asked() -> JobSpec:
    raise AssertionError("nobody needs to know which devices there are")


def test_a_planned_run_says_itself_what_auto_means(folder: str) -> None:
    """It is gone on with, and found finished, whatever devices there are now."""
    jobs = by_device(folder)
    run = open_run_of(jobs, lambda: jobs["cuda"])
    plan = freeze(run, None, lambda: ("cuda", 8))
    assert open_run_of(jobs, not_asked) == run
    for shard in load_shards(run, plan):
        labels = rows(shard, plan.run_id)
        commit_part(run.output, plan.run_id, plan.digest, shard, labels, row_schema(SCHEMAS), "a")
    finish(run, plan, {})
    assert open_run_of(jobs, not_asked) == Run(run.spec, finished=True)
    assert open_run_of(jobs, lambda: jobs["cpu"], new_run=True).spec.job == jobs["cpu"]


def test_what_auto_does_not_mean_there_is_another_job(folder: str) -> None:
    """bf16 that was asked for on a CPU is not what `auto` means on one, nor goes on with it."""
    jobs = by_device(folder)
    asked = open_run(jobs["cuda"])
    freeze(asked, None, lambda: ("cpu", 8))
    found = open_run_of(jobs, lambda: jobs["cpu"])
    assert (found.spec.run_id, found.spec.job) == ("00000002", jobs["cpu"])
    assert open_run(jobs["cuda"]) == asked


def test_an_unplanned_run_is_of_the_device_that_there_is(folder: str) -> None:
    """Nothing says yet what it was claimed for, so that the devices of now decide."""
    jobs = by_device(folder)
    claimed = open_run_of(jobs, lambda: jobs["cpu"])
    assert open_run_of(jobs, lambda: jobs["cpu"]) == claimed
    assert open_run_of(jobs, lambda: jobs["cuda"]).spec.run_id == "00000002"
    assert open_run_of(jobs, lambda: jobs["cpu"]) == claimed


def test_the_devices_are_asked_for_last(folder: str) -> None:
    """An INPUT that holds no image is told before anybody waits for Ray."""
    put(folder, "in/notes.txt", b"x")
    job_of_notes = job(folder, images=0)
    with pytest.raises(UsageError, match="holds no image"):
        open_run_of({"cpu": job_of_notes, "cuda": job_of_notes}, not_asked)


def start_together(jobs: list[JobSpec]) -> list[Run]:
    """Open a run for each job at the same moment."""
    barrier = threading.Barrier(len(jobs))

    def start(asked: JobSpec) -> Run:
        barrier.wait()
        return open_run(asked)

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(start, jobs))


def test_drivers_that_start_together_share_one_run(store: str) -> None:
    """Of three drivers of one job one claims and the others join it."""
    runs = start_together([job(store)] * 3)
    assert {run.spec for run in runs} == {runs[0].spec}  # its random claimant included


def test_drivers_of_other_jobs_that_start_together_part(store: str) -> None:
    """Each of three jobs gets an ordinal of its own."""
    runs = start_together([job(store, prompt=f"{n} <ImageHere>") for n in range(3)])
    assert len({run.spec.run_id for run in runs}) == 3


def test_bad_input_leaves_no_trace(store: str) -> None:
    """An INPUT without images claims nothing and writes nothing."""
    put(store, "in/notes.txt", b"x")
    with pytest.raises(UsageError, match="holds no image"):
        open_run(job(store, images=0))
    assert not any("/out/" in entry.uri for page in list_pages(store + "/") for entry in page)


def test_an_output_without_credentials_is_bad_usage(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A store that is shown no keys, or wrong ones, is said so, and is no store that is away."""
    put(bucket, "in/0.png", png())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UsageError, match="credentials are refused"):
        open_run(job_spec(f"{bucket}/in", f"{bucket}/out"))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UsageError, match="wants credentials"):
        open_run(job_spec(f"{bucket}/in", f"{bucket}/out"))


def test_an_output_that_is_a_file_is_bad_usage(folder: str) -> None:
    """An OUTPUT, or a folder in it, that is a file is said so and left alone."""
    put(folder, "in/0.png", png())
    put(folder, "out", b"a file")
    put(folder, "out2/runs", b"a file")
    for name in ("out", "out2"):
        with pytest.raises(UsageError, match="a file"):
            open_run(job_spec(f"{folder}/in", f"{folder}/{name}"))


def test_a_run_is_resumed_without_its_input(folder: str) -> None:
    """An unfinished run is joined even if INPUT is gone by now."""
    claimed = open_run(job(folder))
    rmtree(f"{folder}/in")
    assert open_run(claimed.spec.job).spec == claimed.spec


def test_another_semantics_does_not_go_on(folder: str) -> None:
    """An unfinished run of the job under other SEMANTICS is refused; a finished one is history."""
    old = job(folder, semantics=job_spec().semantics + 1)
    run = open_run(old)
    with pytest.raises(UsageError, match="semantics"):
        open_run(job(folder))
    assert open_run(job(folder), new_run=True).spec.run_id == "00000002"
    other = open_run(replace(old, output=old.output + "2"))
    complete(other)
    assert run.spec.run_id == other.spec.run_id == "00000001"
    assert open_run(job(folder, "out2")).spec.run_id == "00000002"


def test_a_run_of_this_job_in_another_format_is_refused(folder: str) -> None:
    """A spec.json of this very job in an unknown format is said in a sentence with its place."""
    spec = open_run(job(folder)).spec
    newer = json.loads(spec.to_json()) | {"format_version": 99}
    put(f"{folder}/out", RunNames(2).spec, json.dumps(newer).encode())
    with pytest.raises(UsageError, match=r"out/runs/00000002/spec\.json.*format version 99"):
        open_run(job(folder))


def test_runs_of_other_jobs_and_versions_are_history(folder: str) -> None:
    """A spec.json of another job, or of a finished run under an older schema of the rows, is in
    nobody's way, whatever its format and fields.
    """
    spec = open_run(job(folder)).spec
    alien = {"format_version": 99, "job": "unheard of"}
    other = alien | {"fingerprint": "0" * 16, "lineage": "0" * 16}
    older = alien | {"fingerprint": "0" * 16, "lineage": spec.job.lineage()}
    for ordinal, claim in ((2, other), (3, older)):
        put(f"{folder}/out", RunNames(ordinal).spec, json.dumps(claim).encode())
    with pytest.raises(UsageError, match="run 00000003 of this job is unfinished"):
        open_run(job(folder))
    put(f"{folder}/out", RunNames(3).result, b"of another format")
    assert open_run(job(folder)).spec == spec
    assert open_run(job(folder, prompt="red <ImageHere>")).spec.run_id == "00000004"


def test_a_claim_that_is_no_document_is_named(folder: str) -> None:
    """A spec.json that is no JSON is said with the place where it lies."""
    put(f"{folder}/out", RunNames(1).spec, b"not JSON")
    with pytest.raises(UsageError, match=r"out/runs/00000001/spec\.json is not JSON"):
        open_run(job(folder))


def test_a_folder_without_a_claim_is_claimed(store: str) -> None:
    """An ordinal whose spec.json was never created is free; leftovers beside the runs are none."""
    put(f"{store}/out", "runs/00000001/plan/x/page-00000.parquet", b"")
    put(f"{store}/out", "runs/notes/x", b"")
    assert open_run(job(store)).spec.run_id == "00000001"


def test_the_claim_names_the_job_for_readers(folder: str) -> None:
    """spec.json holds the job, its two names and the sources' version."""
    run = open_run(job(folder))
    value = json.loads(fetch(f"{folder}/out/{run.names.spec}"))
    assert value["meaning_id"] == run.spec.job.meaning_id()
    assert value["fingerprint"] == run.spec.job.fingerprint()
    assert value["code_version"] == run.spec.code_version
    assert read_spec(run.output, 1) == run.spec
    assert read_spec(run.output, 2) is None
