"""Score a checkpoint on labelled pictures.

Usage: python jobs/evaluate.py --suite hm|vizwiz|gqa|vsr|iconqa|caption|tags --annotations FILE
       --images FOLDER [--model pocket|FOLDER] [--out FOLDER] [--json FILE] [--plot FILE]
       [--fit-calibration] …    (--help lists the flags)

FILE is as the suite's authors have it (workers/evaluation/suites/). The questions are asked by a
labelling job under --out: the same command goes on with it, and one that is finished is only
scored. Exit codes are those of a job: 0 complete, 1 failed, 2 bad usage, 3 more failed pictures
than --max-failed allows or not one that did not fail, 75 stopped, and the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.arguments import LabellingArguments, Parser, add_run_flags, options_of
from jobs.labelling import run_job, say
from jobs.summary import counts_in_words
from schemas.job import TEXT_COLUMN
from schemas.outcome import BucketsightError, ExitCode, UsageError
from schemas.version import ROOT
from workers.evaluation.evaluation import Evaluation
from workers.evaluation.questions import IMAGE, TEXT, read_rows, write_questions
from workers.evaluation.reliability import draw_reliability, require_drawing
from workers.evaluation.report import scores_record, scores_table
from workers.evaluation.scores import Score
from workers.evaluation.suites import SUITES, Asking, Item
from workers.model.description import checkpoint_folder, describe
from workers.model.prompts import HUMAN_TEMPLATE
from workers.model.quantization import AUTO, QUANTIZATIONS
from workers.request import Request
from workers.tasks.tags import Tags
from workers.threads import leave

if TYPE_CHECKING:
    from workers.driver import Finished

PROGRAM = "evaluate"
OWN, PUBLISHED = "checkpoint", "published"
BASELINE = "nearest neighbour"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, ask, score; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        asked = _asked(given)
        request = asked.request()
    except BucketsightError as error:
        say(f"{PROGRAM}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    arguments_of_job = LabellingArguments(request, options_of(given), given.max_failed)
    return run_job(PROGRAM, arguments_of_job, asked.told)


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="Score a checkpoint on labelled pictures.")
    what = parser.add_argument_group("what is scored")
    what.add_argument("--suite", choices=sorted(SUITES), required=True)
    what.add_argument("--annotations", type=Path, required=True, metavar="FILE")
    what.add_argument("--images", type=Path, required=True, metavar="FOLDER")
    what.add_argument("--model", default="pocket", metavar="pocket|FOLDER")
    what.add_argument("--quant", choices=(AUTO, *QUANTIZATIONS), default=AUTO)
    what.add_argument(
        "--prompts",
        choices=(OWN, PUBLISHED),
        default=OWN,
        help="whose template the paper's questions are set into: the checkpoint's (default), or "
        "that of the published evaluation",
    )
    what.add_argument(
        "--fit-calibration",
        action="store_true",
        help="of hm: fit the temperature of the probability to FILE, and keep it in the "
        "checkpoint's folder",
    )
    what.add_argument(
        "--baseline",
        type=Path,
        metavar="CORPUS",
        help="of caption: score the nearest neighbour in frozen ImageNet features beside it",
    )
    what.add_argument("--baseline-kind", choices=("drawings", "photos"), default="drawings")
    Tags.add_flags(parser.add_argument_group("how tags are asked for"))
    where = parser.add_argument_group("what is written")
    where.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="questions and answers, to go on from (default: build/evaluate/SUITE)",
    )
    where.add_argument("--json", type=Path, metavar="FILE", help="scores and every answer")
    where.add_argument("--plot", type=Path, metavar="FILE", help="of hm: reliability as a PNG")
    add_run_flags(parser)
    return parser


def _asked(given: argparse.Namespace) -> _Asked:
    """All that can be wrong is told before any picture is looked at."""
    suite = given.suite
    for flag, only in (("fit_calibration", "hm"), ("plot", "hm"), ("baseline", "caption")):
        if getattr(given, flag) and suite != only:
            raise UsageError(f"--{flag.replace('_', '-')} is for --suite {only}")
    if given.prompts == PUBLISHED and not SUITES[suite].column:
        raise UsageError(f"--prompts {PUBLISHED}: nobody published one for --suite {suite}")
    if given.prompts == PUBLISHED and given.fit_calibration:
        raise UsageError(f"--fit-calibration needs --prompts {OWN}, by which memes are moderated")
    for flag, file in (("--json", given.json), ("--plot", given.plot)):
        if file and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise UsageError(f"{flag} {file} is a folder, or lies in one that is not there")
    if given.plot:
        require_drawing()
    items = SUITES[suite].read(given.annotations, given.images)
    checkpoint = describe(checkpoint_folder(given.model))
    own = checkpoint.generation.prompt_template
    template = HUMAN_TEMPLATE if given.prompts == PUBLISHED else own
    tags = Tags.wishes(given)[0] if suite == "tags" else {}
    asking = Asking(checkpoint, template, tags)
    evaluation = Evaluation(suite, given.annotations, items, asking, given.fit_calibration)
    evaluation.require()
    return _Asked(given, evaluation, _baseline(given, items) if given.baseline else [])


@dataclass(frozen=True)
class _Asked:
    given: argparse.Namespace
    evaluation: Evaluation
    baseline: Sequence[Score]

    def request(self) -> Request:
        """The labelling job; its INPUT is written.

        Raises UsageError where that cannot be.
        """
        given, asked = self.given, self.evaluation
        out = given.out or ROOT / "build" / "evaluate" / asked.suite
        questions = write_questions(out, asked.suite, asked.items)
        return Request(
            str(questions),
            str(out / "answers"),
            asked.tasks(),
            given.model,
            image_column=IMAGE,
            text=f"{TEXT_COLUMN}{TEXT}",
            quantization=given.quant,
        )

    def told(self, finished: Finished) -> str:
        """The scores, in words; --json and --plot are written."""
        run, given = finished.run, self.given
        job, labels = run.spec.job, Path(run.output, run.names.labels)
        rows = read_rows(labels, len(self.evaluation.items))
        model = self.evaluation.asking.checkpoint.name
        outcome = self.evaluation.outcome(rows, job.quantization)
        if given.plot:
            draw_reliability(outcome.reliability, given.plot)
        failed = finished.result.failed_by_code
        if given.json:
            about = {
                "annotations": str(given.annotations),
                "model": model,
                "model_digest": job.model_digest,
                "quantization": job.quantization,
                "rows": str(labels),
                "failed": dict(failed),
                "baseline": scores_record(self.baseline),
            }
            _write(given.json, json.dumps(about | outcome.record(), indent=1, ensure_ascii=False))
        head = f"{model}, --quant {job.quantization}: {len(rows):,} items of {given.suite}"
        if failed:
            head += f", of which failed, and are wrong: {counts_in_words(failed)}"
        blocks = [head, outcome.text(model)]
        if self.baseline:
            blocks += [f"{BASELINE}\n{scores_table(self.baseline)}"]
        return "\n\n".join([*blocks, f"Every answer: {labels}/*.parquet"])


def _baseline(given: argparse.Namespace, items: Sequence[Item]) -> list[Score]:
    from workers.training.corpus.folder import whole_corpus

    whole_corpus(given.baseline)
    from workers.evaluation.nearest_neighbour import nearest_names  # needs torch

    names = nearest_names(given.baseline, given.baseline_kind, [item.image for item in items])
    return SUITES[given.suite].score(items, names)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error}") from error


if __name__ == "__main__":
    leave(main())
