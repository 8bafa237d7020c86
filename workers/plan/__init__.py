"""The plan of a run: claimed, frozen, loaded, finished. All state lies in OUTPUT."""

from workers.plan.claim import Run, open_run, read_spec
from workers.plan.finish import finish, read_result
from workers.plan.freeze import freeze, read_plan
from workers.plan.load import load_shards

__all__ = [
    "Run",
    "finish",
    "freeze",
    "load_shards",
    "open_run",
    "read_plan",
    "read_result",
    "read_spec",
]
