"""What committed parts say of themselves, from the last bytes of each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.outcome import ForeignPartError
from schemas.run import PartFooter, Plan, RunNames
from schemas.uri import join
from workers.sink import footer_of
from workers.store import PATIENCE, Patience, ask, fetch_tail
from workers.threads import in_order

TAIL_BYTES = 16_384
"""Holds the metadata of a part; longer ones cost a second look."""
END_BYTES = 8
"""A Parquet file ends with the length of its metadata in 4 bytes, and `PAR1`."""


@dataclass(slots=True)
class Counts:
    """Rows of committed parts."""

    parts: int = 0
    labelled: int = 0
    failed: int = 0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    """Names of files that stand where parts belong, and are none of this plan."""


def count_rows(
    output: str, plan: Plan, shards: Iterable[int], patience: Patience = PATIENCE
) -> Counts:
    """What the footers of the parts of these committed `shards` say.

    Raises UsageError where a part may not be read or is of another format, StoreError.
    """
    counts = Counts()
    names = [RunNames(int(plan.run_id)).part(shard) for shard in sorted(shards)]

    def look(name: str) -> PartFooter | None:
        return _footer(join(output, name), plan, patience)

    for name, footer in zip(names, in_order(look, names), strict=True):
        if footer is None:
            counts.strange.append(name)
            continue
        counts.parts += 1
        counts.labelled += footer.labelled
        counts.failed += footer.failed
        counts.failed_by_code.update(footer.failed_by_code)
    return counts


def _footer(place: str, plan: Plan, patience: Patience) -> PartFooter | None:
    """None where the file is gone, or no part of `plan`."""
    try:
        footer = footer_of(metadata_tail(place, patience), place)
    except (FileNotFoundError, ForeignPartError):
        return None
    ours = (footer.run_id, footer.plan_digest) == (plan.run_id, plan.digest)
    return footer if ours else None


def metadata_tail(place: str, patience: Patience) -> bytes:
    """An end of the file with all of its metadata, if it is a Parquet file. Raises as `ask`."""
    tail = ask(place, lambda seconds: fetch_tail(place, TAIL_BYTES, seconds), patience)
    length = int.from_bytes(tail[-END_BYTES:-4], "little") + END_BYTES
    if len(tail) < TAIL_BYTES or length <= TAIL_BYTES:
        return tail
    return ask(place, lambda seconds: fetch_tail(place, length, seconds), patience)
