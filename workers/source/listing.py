"""INPUT → the items to label, in pages, and how many things were skipped by which rule.

INPUT is a folder, a glob or a single file; a path of this machine or a URI of any store that fsspec
knows. What it lists are images, or containers of them: tars, Parquet files, manifests. Every listed
object, and every member or row of a container, is an item or is counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import starmap

from schemas.image import ImageRef, InputFormat
from schemas.job import SIDECAR, JobSpec
from schemas.outcome import UsageError
from schemas.uri import is_local
from workers.source.containers import Scan, outcomes, side_by_side
from workers.source.kinds import sidecar_of
from workers.source.manifests import csv_rows, jsonl_rows
from workers.source.page import Outcome, Page, page_of, paged
from workers.source.parquet import rows
from workers.source.references import LOOKUPS, with_versions
from workers.source.selection import (
    SkipRule,
    folder_selection,
    glob_selection,
    has_wildcard,
)
from workers.source.webdataset import members
from workers.store import (
    PATIENCE,
    Entry,
    Patience,
    ask,
    client_errors_as_ours,
    entry_at,
    list_pages,
)
from workers.threads import Threads


def list_images(job: JobSpec, patience: Patience = PATIENCE) -> Iterator[Page]:
    """The items of INPUT in pages, each once; what lies under OUTPUT is none.

    Raises UsageError where INPUT, or a container that it lists, may not or cannot be read as the
    job says; StoreError where the store does not answer.
    """
    try:
        with client_errors_as_ours(job.input, "listed"):
            if job.input_format == InputFormat.IMAGES:
                for listed in _objects(job, patience):
                    yield _page(listed)
            else:
                yield from _contents(job, patience)
    except FileNotFoundError as error:
        raise UsageError(_missing(job.input)) from error


def check_input(job: JobSpec, patience: Patience = PATIENCE) -> None:
    """Raises UsageError, before anything is written, where INPUT holds no item."""
    skipped: Counter[str] = Counter()
    for page in list_images(job, patience):
        if page.images:
            return
        skipped += page.skipped
    raise UsageError(no_images(job.input, skipped))


def no_images(input: str, skipped: Counter[str]) -> str:
    """The sentence for an INPUT without items."""
    if not skipped:
        return f"{input} holds no files"
    counts = ", ".join(f"{count:,} by rule '{rule}'" for rule, count in sorted(skipped.items()))
    return f"{input} holds no image; files skipped: {counts}"


def _contents(job: JobSpec, patience: Patience) -> Iterator[Page]:
    """What the containers of INPUT hold; last, how many of its objects are none."""
    scan, sidecars = _scan_of(job), job.text == SIDECAR
    skipped: Counter[str] = Counter()

    def containers() -> Iterator[Entry]:
        for listed in _objects(job, patience):
            for entry, rule in listed:
                if rule is None:
                    yield entry
                else:
                    skipped[rule] += 1

    def pages(container: Entry) -> Iterator[Page]:
        for page in paged(outcomes(container, scan, patience)):
            yield Page(with_versions(page.images, sidecars, threads, patience), page.skipped)

    with Threads(LOOKUPS, "lookup") as threads:
        yield from side_by_side(pages, containers())
    if skipped:
        yield Page(skipped=skipped)


def _scan_of(job: JobSpec) -> Scan:
    """What reads containers of the job's kind."""
    if job.input_format == InputFormat.WEBDATASET:
        return members
    scans = {InputFormat.PARQUET: rows, InputFormat.CSV: csv_rows, InputFormat.JSONL: jsonl_rows}
    return partial(scans[job.input_format], asked=job.image_column)


def _objects(job: JobSpec, patience: Patience) -> Iterator[list[tuple[Entry, SkipRule | None]]]:
    """INPUT as a folder; else as a file of just that name; else as a glob.

    Page by page, each object with the rule that leaves it out, if there is one.
    """
    given = job.output, job.input_format, job.lists_sidecars
    selection = folder_selection(job.input, *given)
    if not _holds_something(selection.place, patience):
        single = _entry(job.input, patience)
        if single is not None:
            sidecar = _entry(sidecar_of(job.input), patience) if job.lists_sidecars else None
            yield [(single, None), *([(sidecar, SkipRule.SIDECAR)] if sidecar else [])]
            return
        if has_wildcard(job.input):
            selection = glob_selection(job.input, *given)
    for entries in list_pages(selection.place, patience):
        yield [(entry, selection.rule_against(entry)) for entry in entries]


def _holds_something(folder: str, patience: Patience) -> bool:
    try:
        return any(list_pages(folder, patience))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _entry(uri: str, patience: Patience) -> Entry | None:
    return ask(uri, lambda seconds: entry_at(uri, seconds), patience, "listed")


def _page(listed: Sequence[tuple[Entry, SkipRule | None]]) -> Page:
    page = page_of(starmap(_outcome, listed))
    page.sidecars.extend(entry for entry, rule in listed if rule is SkipRule.SIDECAR)
    return page


def _outcome(entry: Entry, rule: SkipRule | None) -> Outcome:
    return rule or ImageRef(entry.uri, entry.uri, entry.version, entry.size_bytes)


def _missing(input: str) -> str:
    if is_local(input):
        return f"no such file or folder: {input}"
    return f"no such bucket or folder: {input}"
