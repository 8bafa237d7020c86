"""Commands that people are told to type, such as the one that goes on with a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from schemas.job import JobSpec
from schemas.outcome import CheckpointError
from schemas.version import ROOT
from workers.model.description import SHIPPED, Description, describe
from workers.source import format_of
from workers.tasks import Task, tasks_of
from workers.texts import spelt


def interpreter() -> str:
    """The Python that is at work now, as a shell in the checkout's folder takes it: another one may
    lack what the jobs need.
    """
    python = Path(sys.executable)
    return shlex.quote(str(python.relative_to(ROOT) if python.is_relative_to(ROOT) else python))


def typed(program: str, *words: str) -> str:
    """A line for a shell in the checkout's folder, which runs `program`."""
    return f"{interpreter()} {shlex.join([program, *words])}"


def command_for(job: JobSpec) -> str:
    """The command that goes on with a run, as its spec.json tells it; FOLDER and CONFIG.toml stand
    for what only its user knows.

    How the job is run (--replicas and their like) may be said anew each time.
    """
    if job.incremental:
        return typed("jobs/nightly.py", "CONFIG.toml")
    shipped = shipped_model(job)
    model = [] if shipped else ["--model", "FOLDER"]
    if job.replay_of:
        codes = [word for code in job.replay_codes for word in ("--code", code)]
        return typed("jobs/replay.py", job.output, "--run", job.replay_of, *codes, *model)
    tasks = tasks_of(job)
    if not all(task.can_be_typed for task in tasks):
        return f"{typed('jobs/evaluate.py')}, with the flags that it was given"
    asked = [task for task in tasks if not task.everywhere]
    alone = len(asked) == 1
    program = asked[0].program if alone else Task.program
    named = asked and program == Task.program
    several = ["--tasks", ",".join(task.name for task in asked)] if named else []
    flags = [word for task in tasks for word in task.flags(shipped)]
    plain = format_of(job.input, None) == job.input_format
    kind = [] if plain else ["--input-format", job.input_format]
    column = ["--image-column", job.image_column] if job.image_column else []
    text = ["--text", spelt(job.text)] if job.text else []
    quant = ["--quant", job.quantization]  # `auto` may come to another one where it is typed
    words = [*model, *quant, *several, *flags, *text, *kind, *column]
    return typed(program, job.input, job.output, *words)


def shipped_model(job: JobSpec) -> Description | None:
    """The shipped checkpoint that is just the job's model, if there is one."""
    try:
        found = describe(SHIPPED / job.model_id)
    except CheckpointError:
        return None
    return found if found.manifest.digest == job.model_digest else None
