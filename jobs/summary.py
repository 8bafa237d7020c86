"""How a run ended, for people: counts, a few images with their labels, where the rest is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.again import typed
from schemas.estimate import Span
from schemas.outcome import RunFolderError, Status, StoreError, UsageError
from schemas.run import Plan, Result
from schemas.uri import join
from workers.plan import PlanRule, Run
from workers.plan.snapshot_document import read_pruned
from workers.progress import counted, duration
from workers.report.sampling import spread
from workers.source.selection import SkipRule
from workers.store import Patience, ask, fetch
from workers.tasks import Task, answer_columns, tasks_of

EXAMPLES = 5
PATIENCE = Patience(20)
"""A run that is whole does not wait long for its last words."""
SKIPPED: dict[str, str] = {
    SkipRule.EXTENSION: "without an image's extension",
    SkipRule.PATTERN: "that the glob does not fit",
    SkipRule.HIDDEN: "hidden",
    SkipRule.NAME: "with a name that is not UTF-8",
    SkipRule.NOT_A_FILE: "that are no files, such as links to folders",
    SkipRule.PLACEHOLDER: "that stand for folders",
    SkipRule.LONG_SIDECAR: "of text too long for a column",
    PlanRule.GONE_SINCE_RUN: "that failed in the replayed run and are gone since",
}
"""The program's own files under OUTPUT go without saying."""
UNSAID: dict[str, str] = {
    SkipRule.UNDER_OUTPUT: "that lie under OUTPUT",
    SkipRule.CONTAINER: "that hold the images",
    SkipRule.SIDECAR: "of text beside images",
    PlanRule.FORGOTTEN: "that are forgotten",
    PlanRule.LISTED_AGAIN: "that were listed more than once",
    PlanRule.NOT_REPLAYED: "that had not failed so in the replayed run",
    PlanRule.SETTLED: "that were settled before",
    PlanRule.LEFT: "that are left for the next night",
}
"""Where everything that was listed is to be counted they are said too."""


def summary(run: Run, result: Result, before: bool) -> str:
    """Several lines; `before` says that an earlier command did the work.

    Raises:
        RunFolderError: the labels are gone.
    """
    labels = join(run.output, run.names.labels)
    tasks = tasks_of(run.spec.job)
    lines = []
    if before:
        lines += [_before(run, result)]
    lines += [f"{result.labelled:,} of {result.items:,} images labelled{_failures(result)}."]
    if before and (pruned := read_pruned(run.output, run.names.ordinal, PATIENCE)):
        read = typed("jobs/compact.py", run.output, "--view")
        lines += [f"They are in snapshot {pruned.snapshot:08d}; how to read it: {printable(read)}"]
        return "\n".join(lines)
    if result.failed and result.labelled:
        lines += [f"Look at those again: {printable(typed('jobs/replay.py', run.output))}"]
    lines += skipped_in_words(result.skipped)
    lines += compared(result)
    try:
        shown = examples(run, result, tasks)
        lines += [f"  {_name(item)}: {printable(label)}" for item, label in shown]
    except FileNotFoundError as error:
        cure = "" if run.spec.job.replay_of else "; --new-run labels again"
        raise RunFolderError(
            f"run {result.run_id} is finished but its labels are gone{cure}"
        ) from error
    except (StoreError, UsageError) as error:
        lines += [f"  No examples: {error}"]
    quoted = labels.replace("'", "''")
    lines += [
        f"Labels: {printable(labels)}/*.parquet",
        f"Read them: pandas.read_parquet({labels!r}), or in DuckDB "
        f"SELECT uri, {', '.join(_columns(tasks))} FROM '{printable(quoted)}/*.parquet'",
    ]
    return "\n".join(lines)


def night_summary(name: str, plan: Plan, result: Result) -> str:
    """A few lines of what a night did for the collection `name`, which begins each."""
    came = f"{result.labelled:,} labelled{_failures(result)}"
    settled, left = (result.skipped.get(rule, 0) for rule in (PlanRule.SETTLED, PlanRule.LEFT))
    gone = sum(page.items for page in plan.gone)
    also = [f"{settled:,} settled before"]
    also += [f"{left:,} left for the next night"] * bool(left)
    also += [f"{gone:,} no longer in INPUT and marked as deleted"] * bool(gone)
    first = (
        f"run {result.run_id} looked at {counted(result.items, 'image')}: {came}"
        if result.items
        else f"nothing is owed (run {result.run_id})"
    )
    told = [*skipped_in_words(result.skipped), *compared(result)]
    return "\n".join(f"{name}: {line}" for line in (f"{first}; {', '.join(also)}.", *told))


def _before(run: Run, result: Result) -> str:
    """That an earlier command did the work, and which one would do more."""
    if not run.spec.job.replay_of:
        return (
            f"Run {result.run_id} did this job already; --new-run does it again, and looks at "
            "files that came later too."
        )
    more = f"; --run {run.names.ordinal} looks again at what failed in it" if result.failed else ""
    return f"Run {result.run_id} replayed run {run.spec.job.replay_of} already{more}."


def compared(result: Result) -> list[str]:
    """A line, where the run was estimated beforehand: what was said, and what its last driver saw.

    Its time is held against the estimate's only where it did all that was estimated by itself.
    """
    said, was = result.estimate, result.outcome
    if said is None or was is None or not was.images:
        return []
    alone = said.images == was.images
    time = said.seconds(max(1, was.replicas))
    likely, took = time.likely, was.seconds
    words = (
        f"{duration(likely)} of work on {counted(was.replicas, 'replica')}, was {duration(took)}"
    )
    if not alone:
        likely, took = said.images / said.seconds(1).likely, was.images_per_replica_second
        words = (
            f"{likely:.3g} images/s a replica, were {took:.3g} in the "
            f"{counted(was.images, 'image')} that this command saw committed"
        )
        time = Span(likely * (1 - said.spread), likely, likely * (1 + said.spread))
    rate, failed = said.failure_rate(), result.failed / result.items
    held = time.holds(took) and rate.holds(failed)
    return [
        f"{'As' if held else 'Otherwise than'} estimated: {words}; failures "
        f"{share(rate.likely)}, were {share(failed)}."
    ]


def share(part: float) -> str:
    """`0 %`, `1.8 %`, `12 %`."""
    return f"{100 * part:.2g} %" if part < 0.0995 else f"{100 * part:.0f} %"


def _columns(tasks: Sequence[Task]) -> list[str]:
    """The first column of each task: what it is about."""
    names = [(task.everywhere, task.fields[0].name) for task in tasks]
    return [f'"{name}"' if users_own else name for users_own, name in names]


def examples(run: Run, result: Result, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Up to EXAMPLES labelled images from all over the run: item and labels."""
    parts = [part for part in result.parts if part.labelled]
    rows: list[tuple[str, str]] = []
    for part in spread(parts, EXAMPLES):
        rows += _labelled(join(run.output, part.name), tasks)
    return spread(rows, EXAMPLES)


def _labelled(part: str, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    data = ask(part, lambda seconds: fetch(part, seconds=seconds), PATIENCE)
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    file = pq.ParquetFile(pa.BufferReader(data))
    columns = ["item_id", "status", *answer_columns(tasks)]
    table = file.read(columns=columns, use_threads=False)
    rows = spread(table.filter(pc.equal(table["status"], Status.LABELLED)).to_pylist(), EXAMPLES)
    return [(row["item_id"], "; ".join(task.shown(row) for task in tasks)) for row in rows]


def _failures(result: Result) -> str:
    if not result.failed:
        return ""
    return f", {result.failed:,} failed ({counts_in_words(result.failed_by_code)})"


def skipped_in_words(skipped: Mapping[str, int]) -> list[str]:
    """A line, where files of INPUT were not looked at."""
    counts = {words: skipped[rule] for rule, words in SKIPPED.items() if skipped.get(rule)}
    if not counts:
        return []
    kinds = ", ".join(f"{count:,} {words}" for words, count in counts.items())
    return [f"Not looked at: {counted(sum(counts.values()), 'other file')} ({kinds})."]


def skipped_kinds(skipped: Mapping[str, int]) -> list[tuple[str, int]]:
    """All that was listed and is no image of the run: their kinds, and counts."""
    words = {rule: f"files {said}" for rule, said in (SKIPPED | UNSAID).items()}
    words[SkipRule.HIDDEN] = "hidden files"
    return [(words.get(rule, f"files {rule}"), count) for rule, count in skipped.items()]


def counts_in_words(counts: Mapping[str, int]) -> str:
    """`2 not_an_image, 3 truncated`."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _name(uri: str) -> str:
    return printable(uri.rpartition("/")[2])


def printable(text: str) -> str:
    """`text` with its control characters escaped: a name is not to move a terminal's cursor."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
