"""One replica: a shard in, its committed part out. A plain class that knows no Ray.

    ImageRef ─read, decode→ Seen ─ask→ Batch ─model→ replies ─row→ rows ─part→ committed

Rows are conserved: each step gives back each image exactly once and in the plan's order, and what
goes wrong with an image becomes its row.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import torch

from schemas.image import ImageRef, Shard
from schemas.outcome import (
    CheckpointError,
    Failure,
    ItemError,
    OutageError,
    StoreOutageError,
    TimedOutError,
    UsageError,
)
from schemas.rows import row_schema
from schemas.run import PartFooter, RunNames, RunSpec
from schemas.uri import is_local, join
from workers.ahead import Ahead, Budget
from workers.answers import Answer, Batch, answer, answers
from workers.batches import batches
from workers.failpoints import failpoint
from workers.images import decode, format_of, resize
from workers.messages import (
    Assignment,
    BatchBegun,
    Caution,
    Committed,
    Message,
    Rehearsed,
    Settled,
    Withheld,
)
from workers.model import TinyGPTV
from workers.model.description import checkpoint_folder
from workers.outage import OF_THE_STORE, OUTAGES, OutageWatch
from workers.row import Row, Seen, row_of
from workers.sink import commit_part, encode_part
from workers.source import Reader
from workers.source.selection import glob_selection, has_wildcard
from workers.store import PATIENCE
from workers.tasks import tasks_of
from workers.texts import text_finder

READERS = 8
"""Threads that read and decode ahead of the model."""
BATCHES_AHEAD = 2
"""So many batches are read and decoded, or being so, before the model asks for them."""
BYTES_READ = 512 * 2**20
BYTES_DECODED = 2**30
"""What all readers together may hold of files, and of pixels before they are resized."""


class Replica:
    """One model on one device, for one run.

    Raises:
        CheckpointError: there is no such checkpoint here, or not the one that was planned with.
        UsageError: INPUT or OUTPUT is a path, and here it leads elsewhere than at the driver.
    """

    def __init__(self, assignment: Assignment, clock: Callable[[], float] = time.monotonic) -> None:
        _require_places(assignment)
        torch.set_num_threads(assignment.threads)
        self._assignment = assignment
        self._job = assignment.job
        self._tasks = tasks_of(assignment.job)
        self._schema = row_schema([task.schema for task in self._tasks], assignment.columns)
        folder = checkpoint_folder(assignment.model)
        self._model = TinyGPTV.from_pretrained(
            folder, device=assignment.device, quant=self._job.quantization
        )
        if self._model.digest != self._job.model_digest:
            raise CheckpointError(
                f"{folder} holds another model than the run was planned with: digest "
                f"{self._model.digest[:16]}, not {self._job.model_digest[:16]}"
            )
        held = self._model.quantization
        assert held == self._job.quantization, f"the model was loaded as {held}"
        self._reader = Reader(self._job)
        self._texts = text_finder(self._job, self._reader)
        self._ahead = Ahead(
            self._look_at,
            self._never_ends,
            READERS,
            window=BATCHES_AHEAD * assignment.batch_size,
            seconds=PATIENCE.seconds + assignment.item_seconds,
            clock=clock,
        )
        self._read, self._decoded = Budget(BYTES_READ), Budget(BYTES_DECODED)
        self._clock = clock
        self._labelled_once: ImageRef | None = None
        self._outage = OutageWatch(self._works)
        self._withheld: list[tuple[Shard, list[Row]]] = []

    def process(self, shard: Shard, caution: Caution | None = None) -> Iterator[Message]:
        """Label `shard`, batch by batch, and commit it; the last message says what came of it.

        A cautious replica touches nothing of a batch before it has said that it begins it. Before
        the last message, earlier shards that were withheld may be committed.

        Raises:
            OutageError: image after image failed, and not by its own fault; nothing of it is
                committed.
            StoreError: the store did not take the part in time.
            ForeignPartError: the part's name is taken by somebody else's file.
            UsageError: the prompt is longer than the model's context, or OUTPUT may not be written.
        """
        planned = list(batches(len(shard), self._assignment.batch_size, caution))
        condemned = caution.condemned if caution else ()
        self._outage.saw(failure for _, failure in condemned)
        rows = {place: self._unseen_row(shard.images[place], why) for place, why in condemned}
        if caution:
            for positions in planned:
                yield BatchBegun(positions, len(rows))
                (some,) = self._label(shard, [positions], self._outage)
                rows |= some
            yield BatchBegun((), len(rows))
        else:
            yield BatchBegun(planned[0], 0)
            told_at = self._clock()
            labelled = self._label(shard, planned, self._outage)
            for some, following in zip(labelled, [*planned[1:], ()], strict=True):
                rows |= some
                if following and self._clock() - told_at >= self._assignment.news_seconds:
                    yield BatchBegun(following, len(rows))
                    told_at = self._clock()
        self._withheld.append((shard, [rows[position] for position in range(len(shard))]))
        if self._outage.suspicious:
            yield Withheld()
        else:
            yield from self._commit_withheld()

    def settle(self) -> Iterator[Message]:
        """Commit what is withheld: nothing more will come that could show whose fault it was.

        Raises as `process`.
        """
        self._require_no_outage(self._outage)
        yield from self._commit_withheld()
        yield Settled()

    def rehearse(self, shard: Shard) -> Iterator[Message]:
        """Look at `shard` as `process` does, encode its part and throw it away; say what it took.

        Raises:
            OutageError: image after image failed, and not by its own fault.
            UsageError: the prompt is longer than the model's context.
        """
        began = self._clock()
        planned = list(batches(len(shard), self._assignment.batch_size, None))
        watch, formats, rows = OutageWatch(self._works), Counter[str](), list[Row]()
        for seen, given in self._answered(shard, planned):
            formats.update(one.format for one in seen if one.format)
            rows += self._rows(seen, given, watch)
        part_bytes = len(self._encoded(shard, rows))
        seconds = self._clock() - began
        half = rows[: len(rows) // 2]
        more = part_bytes - len(self._encoded(shard, half))
        yield Rehearsed(
            images=len(rows),
            seconds=seconds,
            failed_by_code=Counter(str(row["error_code"]) for row in rows if row["error_code"]),
            formats=formats,
            input_bytes=sum(row["size_bytes"] or 0 for row in rows),
            part_bytes=part_bytes,
            bytes_per_image=max(0.0, more / (len(rows) - len(half))),
        )

    def _encoded(self, shard: Shard, rows: list[Row]) -> bytes:
        given = self._assignment
        footer = PartFooter(given.run_id, shard.index, given.plan_digest, "", len(rows), 0)
        return encode_part(rows, self._schema, footer)

    def _unseen_row(self, ref: ImageRef, failure: Failure) -> Row:
        seen = Seen(ref, failure=failure, size_bytes=ref.size_bytes)
        return row_of(seen, failure, self._tasks, self._assignment)

    def _look_at(self, ref: ImageRef) -> Seen:
        """Read and decode one image; what goes wrong is in the answer."""
        size_bytes, digest, kind = ref.size_bytes, None, ""
        if ref.failure:
            return Seen(ref, failure=ref.failure, size_bytes=size_bytes)
        try:
            with ExitStack() as held:
                held.enter_context(self._read.hold(ref.size_bytes or 0))
                data = self._reader.read(ref)
                kind = format_of(data)
                size_bytes, digest = len(data), hashlib.sha256(data).hexdigest()
                failpoint("decode", ref.item_id)
                image = decode(data, lambda size: held.enter_context(self._decoded.hold(size)))
                item = self._texts.find(ref, image)
                small = resize(image, self._job.preprocessing.image_size)
                return Seen(ref, small, None, size_bytes, *image.size, digest, item, kind)
        except ItemError as error:
            failure = Failure.of(error)
            return Seen(
                ref, None, failure, size_bytes=size_bytes, content_sha256=digest, format=kind
            )

    def _never_ends(self, ref: ImageRef) -> Seen:
        """What is known of an image whose reader hangs in it."""
        seconds = PATIENCE.seconds + self._assignment.item_seconds
        error = TimedOutError(f"{ref.uri} was not read and decoded within {seconds:g} s")
        return Seen(ref, failure=Failure.of(error), size_bytes=ref.size_bytes)

    def _label(
        self, shard: Shard, planned: Sequence[Sequence[int]], watch: OutageWatch
    ) -> Iterator[dict[int, Row]]:
        """The rows of each batch in its turn, by their positions."""
        answered = self._answered(shard, planned)
        for positions, (seen, some) in zip(planned, answered, strict=True):
            yield dict(zip(positions, self._rows(seen, some, watch), strict=True))

    def _answered(
        self, shard: Shard, planned: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[Seen], list[Answer]]]:
        """The images of each batch in its turn, and the answers to those that did not fail; later
        batches may be looked at already.
        """
        images = [[shard.images[position] for position in positions] for positions in planned]
        ahead = self._ahead.in_order(chain.from_iterable(images))
        looked: deque[list[Seen]] = deque()

        def batches_seen() -> Iterator[Batch]:
            for batch in images:
                seen = list(islice(ahead, len(batch)))
                assert [one.ref for one in seen] == batch, "reading lost an image of the batch"
                for ref in batch:
                    failpoint("look", ref.item_id)
                looked.append(seen)
                yield self._asked(seen)

        refill = self._assignment.batch_size
        for some in answers(self._model, batches_seen(), refill):
            yield looked.popleft(), some

    def _asked(self, seen: Sequence[Seen]) -> Batch:
        """What the model is asked about the images of `seen` that did not fail."""
        shown = [(one.image, one.item) for one in seen if one.image is not None]
        asks = [tuple(task.ask(item) for task in self._tasks) for _, item in shown]
        return Batch([image for image, _ in shown], asks)

    def _rows(self, seen: Sequence[Seen], given: Sequence[Answer], watch: OutageWatch) -> list[Row]:
        """One row for each image of a batch, in its order."""
        left = iter(given)
        outcomes = [one.failure or next(left) for one in seen]
        assert next(left, None) is None, "the model gave more answers than it saw images"
        failures = [one if isinstance(one, Failure) else None for one in outcomes]
        for one, failure in zip(seen, failures, strict=True):
            if failure is None:
                self._labelled_once = one.ref
        watch.saw(failures)
        return [
            row_of(one, outcome, self._tasks, self._assignment)
            for one, outcome in zip(seen, outcomes, strict=True)
        ]

    def _works(self, outage: type[OutageError]) -> bool | None:
        """Whether an image that was labelled before would be again, or fails by such an `outage`;
        None: neither. Where none was labelled, whether the store gives anything.
        """
        if self._labelled_once is None:
            return self._store_gives() if outage is StoreOutageError else None
        (seen,) = self._ahead.in_order([self._labelled_once])
        found: object = seen.failure
        if seen.image:
            (found,) = answer(self._model, self._asked([seen]))
        if not isinstance(found, Failure):
            return True
        found = OUTAGES.get(found.error_code)
        if found is None and outage is StoreOutageError:
            return True  # the store answers and lets us in, whatever it is that it gave
        return False if found is outage else None

    def _store_gives(self) -> bool:
        """Whether it gives one of some images from all over the plan. None is decoded: one that
        ends a replica would be charged to the shard that runs.
        """
        for ref in self._assignment.witnesses:
            try:
                self._reader.touch(ref)
            except ItemError as error:
                if error.code in OF_THE_STORE:
                    continue
            return True
        return False

    def _require_no_outage(self, watch: OutageWatch) -> None:
        """Few failures are no outage, unless an image that this replica labelled fails like them.

        Raises OutageError.
        """
        if self._labelled_once:
            watch.settle()

    def _second_look(self, shard: Shard, rows: list[Row]) -> list[Row]:
        """`rows`, those that a store refused or did not give in time looked at once more: it may
        have been away for a while, and that is to be no image's row.

        Raises OutageError where it is away again.
        """
        watch = OutageWatch(self._works)  # of its own: it sees images that failed already
        again = [place for place, row in enumerate(rows) if row["error_code"] in OF_THE_STORE]
        size = self._assignment.batch_size
        planned = [again[first : first + size] for first in range(0, len(again), size)]
        for some in self._label(shard, planned, watch):
            for place, row in some.items():
                rows[place] = row
        self._require_no_outage(watch)
        return rows

    def _commit_withheld(self) -> Iterator[Committed]:
        """The parts of all shards that wait for it, in their order."""
        while self._withheld:
            shard, rows = self._withheld[0]
            rows = self._second_look(shard, rows)
            given = self._assignment
            part = commit_part(
                self._job.output,
                given.run_id,
                given.plan_digest,
                shard,
                rows,
                self._schema,
                attempt=uuid4().hex,
            )
            del self._withheld[0]
            yield Committed(part, worn_out=bool(self._ahead.abandoned) and not self._withheld)


def _require_places(assignment: Assignment) -> None:
    """A path names one place on one machine; a cluster's machines may not share it.

    Raises:
        UsageError: OUTPUT is a path and the run is not there, or INPUT is one and is not there.
    """
    job, machine = assignment.job, socket.gethostname()
    claimed = assignment.claimant
    if claimed and is_local(job.output) and _claimant(assignment) != claimed:
        raise UsageError(
            f"on {machine} the folder {job.output} does not hold this run: a local OUTPUT must be "
            "on a disk that all machines of the cluster share"
        )
    if is_local(job.input) and not os.path.exists(job.input):
        place = job.input
        if has_wildcard(place):
            place = glob_selection(place, job.output).place
        if not os.path.exists(place):
            raise UsageError(
                f"{machine} has no {place}: a local INPUT must be on a disk that all machines of "
                "the cluster share"
            )


def _claimant(assignment: Assignment) -> str | None:
    """Whose run this machine sees in a local OUTPUT; None: there is none."""
    spec = join(assignment.job.output, RunNames(int(assignment.run_id)).spec)
    try:
        return RunSpec.from_json(Path(spec).read_bytes(), spec).claimant
    except OSError:
        return None
