"""A command that is asked to stop while a store stalls: it ends at once, whatever hangs."""

import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.checkpoints import save_tiny_checkpoint
from tests.jobs.commands import captioning, wait_for
from tests.proxy import Fault, Proxy, Request, proxy_to
from tests.runs import png, put
from tests.seaweed import Server
from tests.source.listings import tar_of

SECONDS = 15
"""What the end may take on a busy machine; the store would be waited for two minutes."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def proxy(s3_server: Server) -> Iterator[Proxy]:
    with proxy_to(s3_server.port) as proxy:
        yield proxy


def parquet() -> bytes:
    data = BytesIO()
    pq.write_table(pa.table({"image": [png()] * 3}), data)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "method", "mark"),
    [
        ("a.png", png(), "GET", "prefix=in"),
        ("a.tar", tar_of({"a.txt": b"no image"}), "GET", "/a.tar"),
        ("a.parquet", parquet(), "GET", "/a.parquet"),
        ("a.csv", b"uri\nimages/a.png\n", "GET", "images%2Fa.png"),
        ("a.png", png(), "PUT", ".probe-"),
    ],
    ids=["folder", "tar", "parquet", "lookups", "probe"],
)
def test_a_stop_waits_for_no_store(
    bucket: str,
    s3_server: Server,
    proxy: Proxy,
    model: str,
    name: str,
    data: bytes,
    method: str,
    mark: str,
) -> None:
    """SIGTERM while the plan waits for an answer that does not come: 75, one sentence, soon."""
    put(bucket, f"in/{name}", data)

    def stall(request: Request) -> Fault | None:
        asked = request.method == method and mark in request.path
        return Fault.STALLED if asked else None

    proxy.set_rule(stall)
    kinds = {".tar": "webdataset", ".parquet": "parquet", ".csv": "csv"}
    kind = kinds.get(Path(name).suffix, "images")
    job = [f"{bucket}/in", f"{bucket}/out", "--model", model, "--input-format", kind]
    variables = s3_server.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    with captioning(*job, **variables) as driver:
        wait_for(
            lambda: any(fault for _, fault in list(proxy.seen)) or driver.poll() is not None,
            "the store stalls",
        )
        driver.send_signal(signal.SIGTERM)
        _, errors = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 75, errors
    assert errors == "caption_bucket: stopped; the same command goes on\n"
