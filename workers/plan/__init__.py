"""The plan of a run: claimed, frozen, loaded, finished. All state lies in OUTPUT."""

from workers.plan.claim import begun_run_of, open_run, open_run_of
from workers.plan.cut import batch_for, cut_for
from workers.plan.documents import Run, read_plan, read_result, read_spec
from workers.plan.filling import PlanRule, fill
from workers.plan.finish import finish
from workers.plan.freeze import freeze, require_columns
from workers.plan.known import known_runs
from workers.plan.load import later_shards, load_list, load_shards, require_pages, sample

__all__ = [
    "PlanRule",
    "Run",
    "batch_for",
    "begun_run_of",
    "cut_for",
    "fill",
    "finish",
    "freeze",
    "known_runs",
    "later_shards",
    "load_list",
    "load_shards",
    "open_run",
    "open_run_of",
    "read_plan",
    "read_result",
    "read_spec",
    "require_columns",
    "require_pages",
    "sample",
]
