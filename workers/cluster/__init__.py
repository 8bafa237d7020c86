"""Ray, and only here: a connection to a cluster, what it has room for, replicas as its actors."""

from workers.cluster.connection import SUBMITTED, connection
from workers.cluster.fleet import Labeller, Load, RayFleet
from workers.cluster.metrics import Metrics
from workers.cluster.resources import Say, device_for, replicas_for, room_for

__all__ = [
    "SUBMITTED",
    "Labeller",
    "Load",
    "Metrics",
    "RayFleet",
    "Say",
    "connection",
    "device_for",
    "replicas_for",
    "room_for",
]
