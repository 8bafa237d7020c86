"""Reading, listing and committing on a real store, behind a proxy that breaks what passes."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
import s3fs

from schemas.image import Shard
from schemas.outcome import StoreError, TooManyBytesError
from schemas.rows import row_schema
from schemas.run import PartRecord
from schemas.uri import join
from tests.proxy import Fault, Proxy, Request, Rule, proxy_to
from tests.runs import SCHEMAS, job_spec, png, put, refs, rows
from tests.seaweed import Server
from workers.plan import finish, freeze, load_shards, open_run
from workers.sink import commit, commit_part, committed, probe, read_part
from workers.sink.create import Answer, create
from workers.source import Reader
from workers.store import (
    Patience,
    ask,
    fetch,
    fetch_tail,
    is_transient,
    list_pages,
)

PLAN = "0" * 64
QUICK = Patience(20, sleep=lambda seconds: time.sleep(min(seconds, 0.02)))
"""Real time, but no long waits between tries."""
DATA = random.Random(3).randbytes(300_000)


@pytest.fixture
def proxy(s3_server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between this process and the store from now on, and harmless until it is given a rule."""
    with proxy_to(s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
    s3fs.S3FileSystem.clear_instance_cache()


def first(count: int, fault: Fault, method: str = "") -> Rule:
    """`fault` for the first `count` requests (of `method`), and then no more."""
    left = iter(range(count))

    def rule(request: Request) -> Fault | None:
        hit = method in ("", request.method) and next(left, None) is not None
        return fault if hit else None

    return rule


def always(fault: Fault) -> Rule:
    return lambda request: fault


def every(nth: int, fault: Fault) -> Rule:
    return lambda request: fault if request.number % nth == nth - 1 else None


def drawn(seed: int, share: float, faults: list[Fault]) -> Rule:
    """One of `faults` for about `share` of the requests."""
    draw = random.Random(seed)
    return lambda request: draw.choice(faults) if draw.random() < share else None


def part(output: str, index: int = 0, attempt: str = "") -> PartRecord:
    """Commit a shard of three rows."""
    shard = Shard(index, tuple(refs(3)))
    return commit_part(
        output,
        "00000001",
        PLAN,
        shard,
        rows(shard),
        row_schema(SCHEMAS),
        attempt or uuid4().hex,
        patience=QUICK,
    )


READS: list[Callable[[str], bytes]] = [
    lambda uri: ask(uri, lambda seconds: fetch(uri, seconds=seconds), QUICK),
    lambda uri: ask(uri, lambda seconds: fetch(uri, seconds=seconds, span=(0, len(DATA))), QUICK),
    lambda uri: ask(uri, lambda seconds: fetch_tail(uri, len(DATA), seconds), QUICK),
]


@pytest.mark.parametrize(
    "fault", [Fault.UNAVAILABLE, Fault.THROTTLED, Fault.RESET, Fault.CUT, Fault.DONE_AND_CLOSED]
)
def test_reads_get_through(bucket: str, proxy: Proxy, fault: Fault) -> None:
    """Refused, reset and cut three times, a read gives the object, whole: all, a span, the tail."""
    put(bucket, "a", DATA)
    for read in READS:
        proxy.set_rule(first(3, fault))
        assert read(f"{bucket}/a") == DATA
        assert [seen for _, seen in proxy.seen].count(fault) == 3


def test_a_cut_body_is_never_the_object(bucket: str, proxy: Proxy) -> None:
    """Half an object is an error that may pass, not a small object; even the half of one byte."""
    put(bucket, "a", DATA)
    proxy.set_rule(always(Fault.CUT))
    for request in (
        lambda: fetch(f"{bucket}/a"),
        lambda: fetch(f"{bucket}/a", span=(0, len(DATA))),
        lambda: fetch(f"{bucket}/a", span=(7, 1)),
        lambda: fetch_tail(f"{bucket}/a", 1000),
    ):
        with pytest.raises(Exception) as caught:
            request()
        assert is_transient(caught.value)


@pytest.mark.parametrize("fault", [Fault.STALLED, Fault.STALLED_BODY])
def test_a_stalled_read_ends_at_its_deadline(bucket: str, proxy: Proxy, fault: Fault) -> None:
    """A server that says nothing more is given up when the time is over: that may pass."""
    put(bucket, "a", DATA)
    proxy.set_rule(always(fault))
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        fetch(f"{bucket}/a", seconds=0.5)
    assert time.monotonic() - began < 3
    assert is_transient(caught.value)
    began = time.monotonic()
    with pytest.raises(StoreError, match="cannot be read now"):
        ask(bucket, lambda seconds: fetch(f"{bucket}/a", seconds=seconds), Patience(0.5))
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("fault", [Fault.STALLED, Fault.STALLED_BODY])
def test_a_stalled_read_is_tried_again(
    bucket: str, proxy: Proxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the deadline the client gives a silent server up, and the next try succeeds."""
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.3)
    put(bucket, "a", DATA)
    proxy.set_rule(first(2, fault))
    began = time.monotonic()
    assert READS[0](f"{bucket}/a") == DATA
    assert time.monotonic() - began < 10
    assert proxy.count("GET") == 3


def test_an_object_over_the_limit_is_refused_by_its_header(bucket: str, proxy: Proxy) -> None:
    """Of an object that is too large no body is waited for."""
    put(bucket, "a", DATA)
    proxy.set_rule(always(Fault.STALLED_BODY))
    with pytest.raises(TooManyBytesError):
        fetch(f"{bucket}/a", seconds=20, limit=len(DATA) - 1)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RESET])
def test_one_deadline_is_over_all_retries(bucket: str, proxy: Proxy, fault: Fault) -> None:
    """A store that stays away is given up at the deadline, and each request was one try of ours."""
    put(bucket, "a", DATA)
    proxy.set_rule(always(fault))
    tries: list[float] = []

    def request(seconds: float) -> bytes:
        tries.append(seconds)
        return fetch(f"{bucket}/a", seconds=seconds)

    began = time.monotonic()
    with pytest.raises(StoreError):
        ask(bucket, request, Patience(1))
    assert time.monotonic() - began < 4
    # aiohttp sends a request again, once and at once, where its connection is lost
    assert len(proxy.seen) == len(tries) * (2 if fault is Fault.RESET else 1)


@pytest.mark.parametrize("fault", [Fault.DONE_AND_500, Fault.DONE_AND_CLOSED])
def test_a_part_that_was_stored_is_ours_whatever_was_answered(
    bucket: str, proxy: Proxy, fault: Fault
) -> None:
    """A PUT that is done and answered with an error is no second part, and none of a stranger."""
    for index in range(3):
        proxy.set_rule(first(1, fault, "PUT"))
        record = part(bucket, index, attempt=f"attempt {index}")
        assert proxy.seen[0][1] is fault
        proxy.set_rule(lambda request: None)
        assert record.footer.attempt == f"attempt {index}"
        assert read_part(bucket, "00000001", PLAN, index) == record
    assert committed(bucket, "00000001") == {0, 1, 2}


@pytest.mark.parametrize("fault", list(Fault))
def test_commit_returns_what_the_name_holds(
    bucket: str, proxy: Proxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to the first PUT, what comes back is ours and lies there."""
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.5)
    proxy.set_rule(first(1, fault, "PUT"))
    assert commit(bucket, "labels/a", DATA, QUICK) == DATA
    proxy.set_rule(lambda request: None)
    assert fetch(f"{bucket}/labels/a") == DATA


@pytest.mark.parametrize("seed", range(5))
def test_of_two_writers_one_wins_and_both_know(bucket: str, proxy: Proxy, seed: int) -> None:
    """Whatever is lost on the way, both writers of a shard return the part that is there."""
    faults = [fault for fault in Fault if fault not in (Fault.STALLED, Fault.STALLED_BODY)]
    proxy.set_rule(drawn(seed, 0.4, faults))
    start = threading.Barrier(2)

    def write(attempt: str) -> PartRecord:
        start.wait()
        return part(bucket, attempt=attempt)

    with ThreadPoolExecutor(2) as writers:
        records = list(writers.map(write, ("one", "two")))
    proxy.set_rule(lambda request: None)
    assert records == [read_part(bucket, "00000001", PLAN, 0)] * 2, f"seed {seed}"


def test_a_lost_answer_is_never_a_sure_one(bucket: str, proxy: Proxy) -> None:
    """One attempt whose answer is an error says that it does not know."""
    proxy.set_rule(first(1, Fault.DONE_AND_500))
    assert create(bucket, "a", b"mine") is Answer.UNKNOWN
    assert create(bucket, "a", b"mine") is Answer.TAKEN


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.THROTTLED, Fault.RESET, Fault.CUT])
def test_listings_survive(
    bucket: str, proxy: Proxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second page fails at first, and each object is listed once all the same."""
    monkeypatch.setattr("workers.store.base.PAGE", 3)
    for number in range(10):
        put(bucket, f"in/{number}", b"x")
    proxy.set_rule(every(2, fault))
    uris = [entry.uri for page in list_pages(f"{bucket}/in/", QUICK) for entry in page]
    assert uris == [f"{bucket}/in/{number}" for number in range(10)]
    assert len(proxy.seen) > 4


@pytest.mark.parametrize(
    "rule",
    [
        first(3, Fault.UNAVAILABLE, "PUT"),  # no writer was heard, and the late one creates
        first(3, Fault.DONE_AND_500, "PUT"),  # nobody was told that it created
        drawn(3, 0.3, [Fault.UNAVAILABLE, Fault.DONE_AND_500, Fault.RESET]),
    ],
    ids=["nobody is heard", "nobody is told", "drawn"],
)
def test_the_probe_waits_for_sure_answers(bucket: str, proxy: Proxy, rule: Rule) -> None:
    """A sound store behind a bad network is not taken for one that lets several writers in."""
    proxy.set_rule(rule)
    probe(bucket, QUICK)


def test_a_whole_run_gets_through(bucket: str, proxy: Proxy) -> None:
    """With every third request failing, each image is read and has one row, as without."""
    for number in range(12):
        put(bucket, f"in/{number:02d}.png", png())
    faults = [Fault.UNAVAILABLE, Fault.CUT, Fault.DONE_AND_500, Fault.RESET]
    proxy.set_rule(
        lambda request: faults[request.number // 3 % 4] if request.number % 3 == 2 else None
    )
    run = open_run(job_spec(f"{bucket}/in", f"{bucket}/out"), patience=QUICK)
    plan = freeze(run, 4, lambda: ("cpu", 8), QUICK)
    reader = Reader(run.spec.job, QUICK)
    records = {}
    for shard in load_shards(run, plan, patience=QUICK):
        assert all(reader.read(image) == png() for image in shard.images)
        labels = rows(shard, run.spec.run_id)
        records[shard.index] = commit_part(
            run.output,
            run.spec.run_id,
            plan.digest,
            shard,
            labels,
            row_schema(SCHEMAS),
            uuid4().hex,
            patience=QUICK,
        )
    result = finish(run, plan, records, QUICK)
    assert sum(fault is not None for _, fault in proxy.seen) > 10
    proxy.set_rule(lambda request: None)
    assert (result.items, result.labelled, result.failed) == (12, 12, 0)
    assert finish(run, plan, {}) == result
    tables = [pq.read_table(BytesIO(fetch(join(run.output, part.name)))) for part in result.parts]
    items = [item for table in tables for item in table["item_id"].to_pylist()]
    assert items == [f"{bucket}/in/{number:02d}.png" for number in range(12)]
