"""A run as Ray's metrics: Prometheus reads them on each node as `ray_bucketsight_…`.

Counters count what this driver saw; a rate over them is a speed. `deploy/grafana_dashboard.json`
draws them. Series differ by OUTPUT and never by run: a job of every night is one series.
"""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from schemas.outcome import Status
from workers.progress import Standing

COUNTERS = {
    "bucketsight_images": ("Images that are committed, by status.", ("output", "status")),
    "bucketsight_failures": ("Failed images, by error code.", ("output", "error_code")),
    "bucketsight_replica_crashes": ("Replicas that died or hung.", ("output",)),
}
GAUGES = {
    "bucketsight_images_owed": ("Images of the run that are not committed.", ("output",)),
    "bucketsight_images_per_second": ("Of the run's last five minutes.", ("output",)),
    "bucketsight_replicas": ("Replicas that run, and are wanted.", ("output", "state")),
    "bucketsight_shards": ("Shards that are committed, and owed.", ("output", "state")),
}


class Metrics:
    """One run's metrics."""

    def __init__(self, output: str) -> None:
        """Ray is connected."""
        self._output = output
        self._counters = {
            name: Counter(name, about, tags) for name, (about, tags) in COUNTERS.items()
        }
        self._gauges = {name: Gauge(name, about, tags) for name, (about, tags) in GAUGES.items()}
        self._counted: dict[tuple[str, str], int] = {}

    def show(self, standing: Standing) -> None:
        """Tell Ray how far the run is."""
        self._count(
            "bucketsight_images",
            "status",
            {Status.LABELLED: standing.labelled, Status.FAILED: standing.failed},
        )
        self._count("bucketsight_failures", "error_code", standing.failed_by_code)
        self._count("bucketsight_replica_crashes", "", {"": standing.crashes})
        self._set("bucketsight_images_owed", standing.owed)
        speed = 0 if standing.ended else standing.images_per_second
        self._set("bucketsight_images_per_second", speed)
        self._set("bucketsight_replicas", standing.replicas, state="running")
        self._set("bucketsight_replicas", standing.replicas_wanted, state="wanted")
        self._set("bucketsight_shards", standing.shards, state="committed")
        self._set("bucketsight_shards", standing.shards_of - standing.shards, state="owed")

    def _count(self, name: str, tag: str, totals: Mapping[str, int]) -> None:
        """Raise a counter to its totals, by the tag's value. Ray refuses to add nothing."""
        for value, total in totals.items():
            news = total - self._counted.get((name, value), 0)
            if news:
                tags = {"output": self._output} | ({tag: str(value)} if tag else {})
                self._counters[name].inc(news, tags)
                self._counted[name, value] = total

    def _set(self, name: str, value: float, **tags: str) -> None:
        self._gauges[name].set(value, {"output": self._output} | tags)
