"""A Ray head on loopback, as an operator starts one; gone afterwards, with all that it started."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.jobs.commands import PATIENCE, environment, processes_with
from tests.seaweed import free_ports

BIN = Path(sys.executable).parent
MARK = "BUCKETSIGHT_CLUSTER"
"""In the environment of every process of a cluster, with a value of the cluster's own."""


@dataclass(frozen=True)
class Cluster:
    """A running head; `environment` is what its users need."""

    address: str
    dashboard: str
    environment: dict[str, str]


@contextmanager
def ray_head(folder: Path, cpus: int) -> Iterator[Cluster]:
    """`ray start --head`, waited for; its files in `folder`, whose name is to be short."""
    mark = secrets.token_hex(8)
    ports = free_ports(9)
    cluster = Cluster(
        address=f"127.0.0.1:{ports[0]}",
        dashboard=f"http://127.0.0.1:{ports[1]}",
        environment=environment(
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32),
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # Ray listens on loopback alone
        ),
    )
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            _command(folder, ports, cpus),
            env=cluster.environment | {MARK: mark},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(head, cluster, folder / "head.log")
        yield cluster
    finally:
        head.terminate()  # a blocking head takes its processes with it
        try:
            head.wait(timeout=30)
        except subprocess.TimeoutExpired:
            head.kill()
            head.wait()
        for process in processes_with(MARK, mark):
            with suppress(ProcessLookupError):
                os.kill(process.id, signal.SIGKILL)


def _command(folder: Path, ports: list[int], cpus: int) -> list[str]:
    gcs, dashboard, listen, grpc, runtime, objects, nodes, client, metrics = ports
    return [
        str(BIN / "ray"),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        "--node-ip-address=127.0.0.1",
        f"--num-cpus={cpus}",
        f"--temp-dir={folder}",
        "--object-store-memory=100000000",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--port={gcs}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={listen}",
        f"--dashboard-agent-grpc-port={grpc}",
        f"--runtime-env-agent-port={runtime}",
        f"--object-manager-port={objects}",
        f"--node-manager-port={nodes}",
        f"--ray-client-server-port={client}",
        f"--metrics-export-port={metrics}",
        "--min-worker-port=0",  # whichever are free
        "--max-worker-port=0",
    ]


def _wait_until_ready(head: subprocess.Popen[bytes], cluster: Cluster, log: Path) -> None:
    """Return once jobs can be submitted."""
    deadline = time.monotonic() + PATIENCE
    token = cluster.environment["RAY_AUTH_TOKEN"]
    request = urllib.request.Request(
        f"{cluster.dashboard}/api/jobs/", headers={"Authorization": f"Bearer {token}"}
    )
    while head.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                json.load(answer)
                return
        except urllib.error.HTTPError as answer:
            answer.close()
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the Ray head did not start; its log ends: {log.read_text()[-2000:]}")
