"""What a job would take, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.summary import counts_in_words, printable, share, skipped_in_words
from schemas.estimate import Estimate, Span, wilson
from schemas.job import JobSpec
from workers.plan import Run
from workers.progress import counted, duration

if TYPE_CHECKING:  # it imports Ray, which reads its environment then
    from workers.estimate import Estimated, Rehearsal, Stock

KINDS = 6
"""So many kinds of files are named; the others are counted."""
LEAST_TABLE = 16
"""The table reaches so many replicas, or twice as many as there would be."""


def told(found: Estimated, price_per_hour: float | None) -> str:
    """Several lines."""
    if found.stock is None:
        return _done_already(found.job, found.run)
    lines = [*_what(found.job, found.device), *_owed(found.stock, found.run, found.rehearsal)]
    if found.rehearsal is None:
        return "\n".join([*lines, "Nothing is owed: the job would do nothing."])
    lines += _seen(found.rehearsal)
    if found.estimate:
        lines += _speed(found.estimate)
        lines += ["", *_table(found.estimate, price_per_hour), ""]
        lines += [_kept(found)]
    return "\n".join(lines)


def _done_already(job: JobSpec, run: Run | None) -> str:
    name = run.spec.run_id if run else ""
    if job.replay_of:
        return f"Run {name} replayed run {job.replay_of} already: the job would do nothing."
    return f"Run {name} did this job already: it would do nothing; --new-run does it again."


def _what(job: JobSpec, device: str) -> Iterator[str]:
    tasks = ", ".join(task.name for task in job.tasks)
    what = f"what failed in run {job.replay_of} of {job.input}" if job.replay_of else job.input
    yield printable(f"{tasks} of {what} by {job.model_id}, --quant {job.quantization}, on {device}")


def _owed(stock: Stock, run: Run | None, rehearsal: Rehearsal | None) -> Iterator[str]:
    """How many images, how large, of which kinds, and what is none."""
    if run and stock.images_done:
        of = stock.images_done + stock.images + stock.images_left
        yield f"  Run {run.spec.run_id} goes on: {stock.images_done:,} of {of:,} images are done"
    elif run:
        yield f"  Run {run.spec.run_id}, which is begun, goes on"
    if stock.images_left:
        yield f"  Beyond the limit, for another night: {stock.images_left:,} of its images"
    elif run and run.spec.job.incremental:
        yield "  What came to INPUT since it was planned is another run of the same night, on top"
    yield f"  {counted(stock.images, 'image')}, {_size(stock, rehearsal)}{_kinds(stock, rehearsal)}"
    for line in skipped_in_words(stock.skipped):
        yield f"  {line}"


def _size(stock: Stock, rehearsal: Rehearsal | None) -> str:
    if stock.bytes is not None:
        return in_bytes(stock.bytes)
    if rehearsal is None:
        return "of sizes that the listing does not know"
    mean = sum(one.input_bytes for one in rehearsal.seen) / rehearsal.images
    return f"about {in_bytes(mean * stock.images)} (the listing does not know their sizes)"


def _kinds(stock: Stock, rehearsal: Rehearsal | None) -> str:
    """By their names; where these do not tell, as those of the sample were decoded."""
    named = stock.extensions.most_common(KINDS)
    if named:
        others = stock.images - sum(count for _, count in named)
        kinds = [f"{count:,} {printable(kind)}" for kind, count in named]
        return ": " + ", ".join(kinds + [counted(others, "other")] * (others > 0))
    formats = rehearsal.formats if rehearsal else {}
    return f"; of the sample {counts_in_words(formats)}" if formats else ""


def _seen(rehearsal: Rehearsal) -> Iterator[str]:
    """What the sample told of failures."""
    failed, images = rehearsal.failed, rehearsal.images
    rate = wilson(failed, images)
    by = counted(rehearsal.replicas, "replica")
    if not failed:
        yield f"  failures   0 of {images:,} that {by} looked at: fewer than {share(rate.high)}"
        return
    codes = counts_in_words(rehearsal.failed_by_code)
    yield (
        f"  failures   {failed:,} of {images:,} that {by} looked at, {share(rate.likely)} "
        f"({share(rate.low)}–{share(rate.high)}): {codes}"
    )


def _speed(estimate: Estimate) -> Iterator[str]:
    per_second = 1 / _seconds_an_image(estimate)
    beside = f", {estimate.rehearsed_by} at once" * (estimate.rehearsed_by > 1)
    yield (f"  speed      {per_second:.3g} images/s a replica (± {share(estimate.spread)}{beside})")
    yield f"  labels     about {in_bytes(estimate.output_bytes)}"
    yield (
        f"  to begin   {duration(estimate.starting_seconds)}: "
        f"{duration(estimate.preparing_seconds)} to list INPUT and start Ray, "
        f"{duration(estimate.loading_seconds)} until a replica has its model"
    )


def _seconds_an_image(estimate: Estimate) -> float:
    """Of one replica that does it all."""
    return estimate.seconds(1).likely / estimate.images


def _table(estimate: Estimate, price_per_hour: float | None) -> Iterator[str]:
    """Time and money by the number of replicas, up to where more of them have nothing to do."""
    shards = sum(count for _, count in estimate.shards)
    yield f"  {'replicas':>8}   {'time':<26}{'price' * (price_per_hour is not None)}".rstrip()
    for replicas in _numbers(estimate.replicas, shards):
        work = estimate.seconds(replicas)
        time = Span(*(estimate.starting_seconds + s for s in (work.low, work.likely, work.high)))
        words = f"{duration(time.likely)} ({duration(time.low)} – {duration(time.high)})"
        money = ""
        if price_per_hour is not None:
            cost = estimate.price(replicas, price_per_hour)
            money = f"{_money(cost.likely)} ({_money(cost.low)} – {_money(cost.high)})"
        now = "  ← as it is now" * (replicas == estimate.replicas)
        yield f"  {replicas:>8,}   {words:<26}{money}{now}".rstrip()
    if shards < max(LEAST_TABLE, 2 * estimate.replicas):
        yield f"  More than {shards:,} have nothing to do, unless --shard-images says less"


def _numbers(replicas: int, shards: int) -> list[int]:
    most = max(LEAST_TABLE, 2 * replicas)
    powers = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    return sorted({*(number for number in powers if number < shards), min(shards, most), replicas})


def _kept(found: Estimated) -> str:
    if found.not_kept:
        return f"This is not kept, so that the run cannot be compared with it: {found.not_kept}"
    return f"Kept in {printable(found.place)}; when the run ends, what it took is held against it."


def in_bytes(count: float) -> str:
    """`980 bytes`, `1.2 MB`."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.3g} {units[0]}"


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.2g}"
