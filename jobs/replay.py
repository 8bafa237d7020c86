"""Look again at the images that failed in a run, and at nothing else.

Usage: python jobs/replay.py OUTPUT [--run N] [--code CODE]… [--model FOLDER]
       [--device auto|cpu|cuda] …    (--help lists the flags)

Input, tasks, model and --quant are the run's. The new labels are a run of their own in the same
OUTPUT. Exit codes as of the job: 0 complete, 1 failed, 2 bad usage, 3 complete but with more failed
images than --max-failed allows, or with nothing else, 75 stopped, and the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.again import command_for, shipped_model
from jobs.arguments import (
    LabellingArguments,
    Parser,
    add_plan_flags,
    add_run_flags,
    options_of,
    positive,
    require_plan,
)
from jobs.labelling import plan_job, run_job, say
from schemas.outcome import BucketsightError, CheckpointError, ErrorCode, ExitCode, UsageError
from schemas.run import RunSpec
from schemas.uri import canonical
from workers.inspection import RunFiles, find_run, find_runs, fingerprint_of, read_run
from workers.model.description import checkpoint_folder, describe
from workers.plan.documents import Run, read_result
from workers.plan.replay import pruned_away
from workers.request import Request
from workers.threads import leave

PROGRAM = "replay"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, find the run, run; returns the exit code."""
    given = _parse(arguments)
    codes = tuple(sorted(set(map(ErrorCode, given.code))))
    try:
        require_plan(given)
        run = _chosen(canonical(given.output), given.run, codes)
        if run is None:
            print(f"Nothing to replay: no image failed{_with(codes)}.")
            return ExitCode.COMPLETE
        request = _request(run.spec, given.output, given.model, codes)
    except BucketsightError as error:
        say(f"{PROGRAM}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    options = options_of(given)
    asked = LabellingArguments(request, options, given.max_failed, given.plan, given.price_per_hour)
    return plan_job(PROGRAM, asked) if asked.plan else run_job(PROGRAM, asked)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description = "Look again at the images that failed in a run, and at nothing else."
    parser = Parser(prog=PROGRAM, description=description)
    what = parser.add_argument_group("what is labelled")
    what.add_argument("output", metavar="OUTPUT", help="the job's OUTPUT")
    what.add_argument(
        "--run",
        type=positive,
        metavar="N",
        help="a finished run (default: the newest that failed somewhere and is no replay itself)",
    )
    what.add_argument(
        "--code",
        action="append",
        default=[],
        choices=[code.value for code in ErrorCode],
        metavar="CODE",
        help="only images that failed with this error_code; may be given several times",
    )
    what.add_argument(
        "--model", metavar="FOLDER", help="the run's model, where that is none of the shipped ones"
    )
    add_run_flags(parser)
    add_plan_flags(parser)
    return parser.parse_args(arguments)


def _chosen(output: str, number: int | None, codes: Sequence[ErrorCode]) -> Run | None:
    """The run to replay, or None: it failed nowhere.

    By default that is the newest that failed somewhere, is no replay, and whose job was not done
    again since. A run that is pruned has no rows to tell what failed: an older one comes before it.

    Raises:
        UsageError: the run is unfinished or pruned, or there is none.
    """
    runs = find_runs(output)
    if number is not None:
        return _if_it_failed(output, find_run(output, runs, number), codes)
    finished = [files for files in runs if files.finished]
    if not finished:
        return _if_it_failed(output, runs[-1], codes)
    done_since, pruned = set(), None
    for files in reversed(finished):
        run, fingerprint = read_run(output, files), fingerprint_of(output, files)
        if fingerprint not in done_since and not run.spec.job.replay_of and _failed(run, codes):
            if not files.pruned:
                return run
            pruned = pruned or run
        if not run.spec.job.incremental:  # a night leaves alone what lies in the image
            done_since.add(fingerprint)
    if pruned:
        raise UsageError(pruned_away(pruned.spec.run_id))
    return None


def _if_it_failed(output: str, files: RunFiles, codes: Sequence[ErrorCode]) -> Run | None:
    run = read_run(output, files)
    if files.pruned:
        raise UsageError(pruned_away(run.spec.run_id))
    if not files.finished:
        raise UsageError(
            f"run {files.run_id} is unfinished, and what it owes may still fail: finish it first, "
            f"with {command_for(run.spec.job)}"
        )
    return run if _failed(run, codes) else None


def _failed(run: Run, codes: Sequence[ErrorCode]) -> bool:
    """Whether an image of the finished `run` did, for one of the reasons `codes` or for any."""
    failed = read_result(run).failed_by_code
    return any(failed.get(code) for code in codes or failed)


def _request(run: RunSpec, output: str, model: str | None, codes: tuple[ErrorCode, ...]) -> Request:
    """The run's job, for what failed in it.

    Raises:
        CheckpointError: there is no such model, or it is not the run's.
    """
    job = run.job
    if model is None and shipped_model(job) is None:
        raise CheckpointError(
            f"run {run.run_id} is of the model {job.model_id!r} (digest {job.model_digest[:16]}), "
            "which does not ship with this program: --model names its folder"
        )
    request = Request(
        input=job.input,
        output=output,
        tasks=job.tasks,
        model=model or job.model_id,
        input_format=job.input_format,
        image_column=job.image_column,
        text=job.text or None,
        replay_of=run.run_id,
        replay_codes=codes,
        quantization=job.quantization,
    )
    digest = describe(checkpoint_folder(request.model)).manifest.digest
    if digest != job.model_digest:
        raise CheckpointError(
            f"{model} is not the model of run {run.run_id}: digest {digest[:16]}, not "
            f"{job.model_digest[:16]}; another model's labels are another job's"
        )
    return request


def _with(codes: Sequence[ErrorCode]) -> str:
    return f" with {' or '.join(codes)}" if codes else ""


if __name__ == "__main__":
    leave(main())
