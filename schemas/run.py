"""What a run folder holds.

    OUTPUT/
      report.html                               what jobs/report.py shows of one of them
      labels/run=00000001/part-00042.parquet    exactly one per shard
      runs/00000001/spec.json                   RunSpec: created exclusively, claims the ordinal
      runs/00000001/plan/<attempt>/*.parquet    pages of the listing as cut
      runs/00000001/plan.json                   Plan: created exclusively, names the winning attempt
      runs/00000001/result.json                 Result: created last
      runs/00000001/heartbeat.json              Heartbeat: the one file that is written over
      runs/00000001/pruned.json                 schemas.snapshot.Pruned: its parts are no more

All names are relative to OUTPUT and use slashes.
"""

import hashlib
import re
from dataclasses import asdict, dataclass, field
from typing import Self

from schemas import document
from schemas.estimate import Estimate, Outcome
from schemas.job import JobSpec
from schemas.outcome import DamagedPlanError, RunFolderError, UsageError
from schemas.rows import PassedColumn

RUNS = "runs"
LABELS = "labels"
REPORT = "report.html"
# Each document has a format of its own, and the rows' SCHEMA_VERSION is apart from all of them.
SPEC_FORMAT = 2
OLDER_SPEC_FORMAT = 1
"""A job of one task; `JobSpec.from_json` reads it too."""
PLAN_FORMAT = 3
OLDER_PLAN_FORMAT = 2
"""A plan from before there were lists of what is gone and what is left."""
HEARTBEAT_FORMAT = 1
FOOTER_FORMAT = 1
RESULT_FORMAT = 2
OLDER_RESULT_FORMAT = 1
"""A result from before it told of time."""
PART_KEY = b"bucketsight.part"
"""Key of a part's PartFooter in the Parquet file's metadata."""

_PART = re.compile(r"part-(\d{5,})\.parquet")


@dataclass(frozen=True, slots=True)
class RunNames:
    """The names of the run `ordinal` (1 and up)."""

    ordinal: int

    @property
    def run_id(self) -> str:
        """The ordinal in 8 digits, as rows and folders carry it."""
        return f"{self.ordinal:08d}"

    @property
    def folder(self) -> str:
        return f"{RUNS}/{self.run_id}"

    @property
    def spec(self) -> str:
        return f"{self.folder}/spec.json"

    @property
    def plan(self) -> str:
        return f"{self.folder}/plan.json"

    @property
    def result(self) -> str:
        return f"{self.folder}/result.json"

    @property
    def heartbeat(self) -> str:
        return f"{self.folder}/heartbeat.json"

    @property
    def pruned(self) -> str:
        return f"{self.folder}/pruned.json"

    @property
    def labels(self) -> str:
        return f"{LABELS}/run={self.run_id}"

    def gone(self, attempt: str, index: int) -> str:
        return f"{self.folder}/plan/{attempt}/gone-{index:05d}.parquet"

    def left(self, attempt: str, index: int) -> str:
        return f"{self.folder}/plan/{attempt}/left-{index:05d}.parquet"

    def page(self, attempt: str, index: int) -> str:
        return f"{self.folder}/plan/{attempt}/page-{index:05d}.parquet"

    def part(self, shard: int) -> str:
        return f"{self.labels}/part-{shard:05d}.parquet"


def shard_of(part_name: str) -> int | None:
    """The shard whose part is called `part_name` (a name or a path), or None: no part's name."""
    match = _PART.fullmatch(part_name.rpartition("/")[2])
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class RunSpec:
    """`spec.json`: which job claimed this ordinal."""

    run_id: str
    job: JobSpec
    claimant: str
    """Random; tells one's own claim from another's after a lost answer."""
    code_version: str
    created_at: str
    """ISO 8601 UTC, for readers; orders nothing."""

    def to_json(self) -> bytes:
        """The document, with the job's names beside it."""
        return document.dumps(
            {
                "format_version": SPEC_FORMAT,
                "run_id": self.run_id,
                "job": self.job.to_json(),
                "meaning_id": self.job.meaning_id(),
                "fingerprint": self.job.fingerprint(),
                "lineage": self.job.lineage(),
                "claimant": self.claimant,
                "code_version": self.code_version,
                "created_at": self.created_at,
            }
        )

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The spec that lies at `place`. Raises UsageError for one of another format."""
        value = document.loads_format(data, place, OLDER_SPEC_FORMAT, SPEC_FORMAT)
        names = ("run_id", "claimant", "code_version", "created_at")
        fields = {name: value.get(name) for name in names}
        try:
            job = JobSpec.from_json(value.get("job") or {})
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
        told = {"meaning_id", "fingerprint", "lineage"} & value.keys()
        if any(value[name] != getattr(job, name)() for name in told):
            raise RunFolderError(
                f"{place} was altered: its job is not the one that its names are of; put it back "
                "as it was, or start afresh with --new-run"
            )
        return document.build(cls, place, fields | {"job": job})


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Whose run a `spec.json` of any format is: these two fields it has for ever."""

    fingerprint: str
    lineage: str

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """Raises UsageError for what is no spec."""
        value = document.loads(data, place)
        names = value.keys() & {"fingerprint", "lineage"}
        return document.build(cls, place, {name: value[name] for name in names})


@dataclass(frozen=True, slots=True)
class PlanPage:
    """One Parquet file of the plan: whole shards `first_shard` … `first_shard + shards - 1`."""

    name: str
    sha256: str
    first_shard: int
    shards: int
    items: int


@dataclass(frozen=True, slots=True)
class ListPage:
    """One Parquet file of a list beside the plan, its items in their order."""

    name: str
    sha256: str
    items: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`plan.json`: the listing as frozen.

    Listed objects = items + the sum of `skipped`, where a replay also counts what is gone. Only an
    incremental job may have a plan without items.
    """

    run_id: str
    attempt: str
    pages: tuple[PlanPage, ...]
    items: int
    shards: int
    small_shards: int
    """So many shards at the start hold `small_shard_images` each."""
    small_shard_images: int
    shard_images: int
    """Images of each later shard but the last, which holds what is left."""
    device: str
    """What replicas run on, `cpu` or `cuda`: like the batch size it may decide a label's words,
    so that whoever resumes the run takes both from here."""
    batch_size: int
    skipped: dict[str, int] = field(default_factory=dict)
    """Objects listed and not planned, counted by skip rule."""
    columns: tuple[PassedColumn, ...] = ()
    """What INPUT says of the items beside the images, passed on into the rows."""
    gone: tuple[ListPage, ...] = ()
    """Of an incremental job: `item_id` of what earlier runs of INPUT labelled, and it lists no
    more. Their rows stay, marked as deleted."""
    left: tuple[ListPage, ...] = ()
    """Likewise: `item_id` of what is owed and in no shard, for the limit was reached; `since`, the
    ordinal of the run that first left it so."""
    digest: str = ""
    """Hex SHA-256 of plan.json as it is stored, whatever this program would write in its place;
    parts carry it in their footers. Empty before the plan is stored."""

    def to_json(self) -> bytes:
        value = asdict(self)
        del value["digest"]
        return document.dumps(value | {"format_version": PLAN_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The plan that is stored at `place`. Raises UsageError for one of another format."""
        value = document.loads_format(data, place, OLDER_PLAN_FORMAT, PLAN_FORMAT)
        parts = {"pages": PlanPage, "columns": PassedColumn, "gone": ListPage, "left": ListPage}
        for name, kind in parts.items():
            value[name] = tuple(document.build(kind, place, one) for one in value.get(name, ()))
        plan = document.build(cls, place, value | {"digest": hashlib.sha256(data).hexdigest()})
        if not plan._adds_up():
            raise DamagedPlanError(
                f"{place} was altered: its counts do not add up; put it back as it was, or start "
                "afresh with --new-run"
            )
        return plan

    def _adds_up(self) -> bool:
        items = sum(page.items for page in self.pages)
        shards = sum(page.shards for page in self.pages)
        if (items, shards) != (self.items, self.shards):
            return False
        if not self.shards:
            return not self.items
        return self._images_before(self.shards - 1) < self.items == self._images_before(self.shards)

    def images_of(self, shard: int) -> int:
        """How many images `shard` holds, 0 and up to `shards` - 1; no page is read for it."""
        return self._images_before(shard + 1) - self._images_before(shard)

    def _images_before(self, shard: int) -> int:
        small = min(shard, self.small_shards)
        images = small * self.small_shard_images + (shard - small) * self.shard_images
        return min(images, self.items)


@dataclass(frozen=True, slots=True)
class PartFooter:
    """What a part says of itself: items = labelled + failed."""

    run_id: str
    shard: int
    plan_digest: str
    attempt: str
    """Random, one for each attempt at the shard: tells one's own part after a lost answer."""
    labelled: int
    failed: int
    failed_by_code: dict[str, int] = field(default_factory=dict)

    @property
    def items(self) -> int:
        return self.labelled + self.failed

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": FOOTER_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The footer of the part at `place`. Raises UsageError for one of another format."""
        return document.build(cls, place, document.loads_format(data, place, FOOTER_FORMAT))


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`heartbeat.json`: a driver works on this run, and how far it is. Decides nothing."""

    run_id: str
    at: float
    """Seconds since 1970, by the driver's clock."""
    host: str
    process: int
    replicas: int
    """That have loaded their model."""
    images_seen: int
    """Committed, or looked at by a replica that lives."""
    images_per_second: float
    ended: bool
    """It is the driver's last one."""

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": HEARTBEAT_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The heartbeat that lies at `place`. Raises UsageError for one of another format."""
        return document.build(cls, place, document.loads_format(data, place, HEARTBEAT_FORMAT))


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One committed part: its name, the digest of its bytes, and its counts."""

    name: str
    sha256: str
    footer: PartFooter
    size_bytes: int = 0
    """Of the file."""


@dataclass(frozen=True, slots=True)
class ResultPart:
    """One line of `result.json`."""

    name: str
    sha256: str
    labelled: int
    failed: int


@dataclass(frozen=True, slots=True)
class Result:
    """`result.json`: items = labelled + failed, and every part of the plan with its digest."""

    run_id: str
    plan_digest: str
    items: int
    labelled: int
    failed: int
    failed_by_code: dict[str, int]
    skipped: dict[str, int]
    parts: tuple[ResultPart, ...]
    outcome: Outcome | None = None
    """What the driver that finished the run saw of it; None: it was finished before drivers told.
    """
    estimate: Estimate | None = None
    """What the job was estimated to take, where somebody had asked."""

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": RESULT_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The result that lies at `place`. Raises UsageError for one of another format."""
        value = document.loads_format(data, place, OLDER_RESULT_FORMAT, RESULT_FORMAT)
        for name, kind in (("outcome", Outcome), ("estimate", Estimate)):
            if isinstance(value.get(name), dict):
                value[name] = kind.from_fields(value[name], place)
            elif value.get(name) is not None:
                raise UsageError(f"{place} is not what this program writes: its {name} is none")
        parts = tuple(document.build(ResultPart, place, part) for part in value.pop("parts", ()))
        return document.build(cls, place, value | {"parts": parts})
