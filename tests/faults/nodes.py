"""Several Ray nodes on this machine, of which any can be lost."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from ray.cluster_utils import Cluster

from tests.jobs.commands import environment, processes_with
from workers.failpoints import VARIABLE

MARK = "BUCKETSIGHT_NODES"
"""In the environment of every process of the nodes, with a value of their own."""
OF_THE_NODES = (
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
    "RAY_TMPDIR",
)
"""What their users set as they do."""
NEWS_OF_DEATH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""A node that was killed is given up after seconds; by default it takes a quarter of a minute."""
OBJECTS = 80_000_000
"""Bytes for Ray's own objects; keys alone travel through it."""


class Nodes:
    """A head, on which drivers are, and workers with one CPU each, on which replicas are."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def workers(self) -> list[Any]:
        """In the order of their process ids."""
        return sorted(self._cluster.worker_nodes, key=raylet)

    def add(self) -> Any:
        """One more worker, alive when this returns."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=OBJECTS)

    def under(self, process: int) -> Any:
        """The worker that `process`, a replica, runs on."""
        return next(node for node in self.workers if raylet(node) == parent(process))

    def replicas(self) -> list[int]:
        """The processes of all replicas that run on the workers."""
        raylets = set(map(raylet, self.workers))
        return [
            process.id
            for process in processes_with(MARK, os.environ[MARK])
            if process.command.startswith("ray::ReplicaActor") and parent(process.id) in raylets
        ]

    def kill(self, node: Any) -> None:
        """SIGKILL to its raylet; what runs on it goes with it."""
        self._cluster.remove_node(node, allow_graceful=False)

    def take_away(self, node: Any) -> None:
        """Announced: SIGTERM, as when a machine is given back."""
        self._cluster.remove_node(node, allow_graceful=True)

    def environment(self, failpoints: str = "", **more: str) -> dict[str, str]:
        """What a driver needs in order to use these nodes, and its replicas with it.

        `failpoints` and `more` reach both, as a submitted job's environment does.
        """
        given = {"OMP_NUM_THREADS": "1", **more}
        if failpoints:
            given[VARIABLE] = failpoints
        return environment(
            RAY_ADDRESS=self.address,
            RAY_JOB_CONFIG_JSON_ENV_VAR=json.dumps({"runtime_env": {"env_vars": given}}),
            **{name: os.environ[name] for name in OF_THE_NODES},
            **given,
        )


@contextmanager
def ray_nodes(workers: int = 2) -> Iterator[Nodes]:
    """Nodes that are gone afterwards, with all that they started."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short,
        mock.patch.dict(os.environ, {"RAY_TMPDIR": short, MARK: short}),
    ):
        cluster = Cluster(
            initialize_head=True,
            shutdown_at_exit=False,  # its hooks would take our SIGTERM, and live in the main thread
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": OBJECTS,
                "include_dashboard": False,
                "_system_config": NEWS_OF_DEATH,
            },
        )
        try:
            nodes = Nodes(cluster)
            for _ in range(workers):
                nodes.add()
            yield nodes
        finally:
            cluster.shutdown()
            for process in processes_with(MARK, short):
                if process.id != os.getpid():
                    with suppress(ProcessLookupError):
                        os.kill(process.id, signal.SIGKILL)


def raylet(node: Any) -> int:
    """The process that is the node."""
    return int(node.all_processes["raylet"][0].process.pid)


def parent(process: int) -> int:
    """The process that started `process`; 0 where that one is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("PPid:"):
                return int(line.split()[1])
    return 0
