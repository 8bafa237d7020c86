"""A real S3 server for the tests: SeaweedFS on loopback, its data in a temporary folder."""

import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

SECOND_PORT = 10_000
"""SeaweedFS takes a second port this much above each one it is given."""


@dataclass(frozen=True)
class Server:
    """A running server; `environment` is what clients need to find it."""

    port: int
    access_key: str = "test-access"
    secret_key: str = "test-secret"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def seaweed(folder: Path, seconds: float = 60) -> Iterator[Server]:
    """A server that keeps its data in `folder` and is gone afterwards."""
    ports = free_ports(5)
    server = Server(port=ports[0])
    with (folder / "seaweed.log").open("wb") as log:
        process = subprocess.Popen(
            _command(folder, ports),
            # not all of ours: by what stands there tests find, and end, what they have started
            env={
                name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ
            }
            | server.environment
            | {"GOMAXPROCS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, server, time.monotonic() + seconds, folder / "seaweed.log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of which the second ones are free too, all below those that the system hands out."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(11_000, 22_000)
        if port not in found and _is_free(port) and _is_free(port + SECOND_PORT):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _command(folder: Path, ports: list[int]) -> list[str]:
    s3, master, filer, volume, admin = ports
    return [
        str(Path(sys.executable).parent / "weed"),
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={s3}",
        f"-master.port={master}",
        f"-filer.port={filer}",
        f"-volume.port={volume}",
        f"-admin.port={admin}",
        "-volume.max=10000",  # each bucket takes one at least, whatever the disk's free space
        "-s3.autoCreateBucket=false",  # as AWS has it: a PUT makes no bucket
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    ]


def _wait_until_ready(
    process: subprocess.Popen[bytes], server: Server, deadline: float, log: Path
) -> None:
    """Return once the server refuses an anonymous listing, which is an answer."""
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(server.endpoint, timeout=5).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code == 403:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"SeaweedFS did not start; its log ends: {log.read_text()[-2000:]}")
