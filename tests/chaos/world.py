"""Where the rounds are played: pictures, three Ray nodes, a disk and an S3 server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import s3fs

from tests.faults.nodes import Nodes, ray_nodes
from tests.faults.tables import rows_of
from tests.jobs.commands import CAPTION, ROOT
from tests.seaweed import Server, seaweed

EXAMPLES = ROOT / "examples" / "images"
COPIES = 3
"""Of each picture, under names of their own."""
SHARD_IMAGES = 12
FLAGS = f"--replicas 2 --batch-size 4 --shard-images {SHARD_IMAGES} --device cpu".split()
COMMAND_SECONDS = 300
"""After which a command is taken for stuck."""


@dataclass
class World:
    """All that a round needs."""

    folder: Path
    nodes: Nodes
    server: Server
    undisturbed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Rows by store."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What the command takes when nothing happens, by store."""

    def input(self, store: str) -> str:
        return "s3://images/pictures" if store == "s3" else str(self.folder / "pictures")

    def output(self, store: str, name: str) -> str:
        return f"s3://labels/{name}" if store == "s3" else str(self.folder / "labels" / name)

    @property
    def items(self) -> list[str]:
        """Names of the images."""
        return sorted(path.name for path in (self.folder / "pictures").iterdir())

    def start(self, store: str, output: str, failpoints: str = "") -> subprocess.Popen[bytes]:
        """The command, under way; what it says goes to a file."""
        with (self.folder / "command.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, CAPTION, self.input(store), output, *FLAGS],
                cwd=ROOT,
                env=self.nodes.environment(failpoints, **self.server.environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def remove(self, output: str) -> None:
        store, path = fsspec.url_to_fs(output)
        store.rm(path, recursive=True)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A world whose servers and processes are gone afterwards; `folder` is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    _copy_pictures(folder / "pictures")
    (folder / "seaweed").mkdir()
    with seaweed(folder / "seaweed") as server:
        os.environ |= server.environment
        store = s3fs.S3FileSystem(use_listings_cache=False)
        for bucket in ("images", "labels"):
            store.mkdir(bucket)
        store.put(f"{folder}/pictures/", "images/pictures/", recursive=True)
        with ray_nodes() as nodes:
            here = World(folder, nodes, server)
            for name in ("disk", "s3"):
                _leave_undisturbed(here, name)
            yield here


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; a command that is stuck is killed, and its code says so."""
    try:
        return process.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return 124


def _leave_undisturbed(here: World, store: str) -> None:
    """Twice: the second time tells how long it takes."""
    for name in ("warm", "undisturbed"):
        output = here.output(store, name)
        began = time.monotonic()
        code = ended(here.start(store, output))
        if code:
            raise RuntimeError(f"the undisturbed run ended with {code}: see {here.folder}")
        here.seconds[store] = time.monotonic() - began
        here.undisturbed[store] = rows_of(output)
        here.remove(output)


def _copy_pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(COPIES):
        for picture in EXAMPLES.iterdir():
            shutil.copy(picture, folder / f"{number}-{picture.name}")
