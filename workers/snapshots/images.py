"""The images that rows tell of, as they were labelled: read again, and compared."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa

from schemas.image import ImageRef, InputFormat
from schemas.job import TEXT_VERSION
from schemas.outcome import ItemError, ReadFailedError, StoreError
from workers.plan import load_shards, read_plan
from workers.plan.database import Database, temporary_folder
from workers.snapshots.history import History, PastRun
from workers.source.reading import Reader
from workers.store import PATIENCE, Patience

PLACED = (InputFormat.WEBDATASET, InputFormat.PARQUET)
"""Formats of which the plan alone tells where in its container an image lies."""
WHAT = "where images lie"
BLOCK_IMAGES = 61_440
_PLACES = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("number", pa.int64()),
    ]
)

Row = Mapping[str, Any]
_Key = tuple[str, str]


@contextmanager
def open_images(history: History, patience: Patience = PATIENCE) -> Iterator["Images"]:
    """The images of the history's rows.

    Raises DamagedPlanError, StoreError also where the temporary folder is full.
    """
    with (
        temporary_folder(WHAT) as folder,
        closing(Database(folder, WHAT, {"places": _PLACES})) as database,
    ):
        yield Images(history, database, patience)


class Images:
    """The images of a history's rows; `open_images` makes one."""

    def __init__(self, history: History, database: Database, patience: Patience) -> None:
        """Puts into `database` where images lie that their rows do not tell of."""
        self._database = database
        jobs = {one.run_id: one.run.spec.job for one in history.runs}
        self._formats = {run_id: job.input_format for run_id, job in jobs.items()}
        self._readers = {run_id: Reader(job, patience) for run_id, job in jobs.items()}
        for one in history.runs:
            if one.run.spec.job.input_format in PLACED and one.files.planned:
                self._place(one, patience)

    def refs(self, rows: Sequence[Row]) -> list[ImageRef]:
        """Of each of some rows, by their ids, the image as it was planned."""
        found: dict[_Key, ImageRef] = {}
        if any(self._formats[row["run_id"]] in PLACED for row in rows):
            query = "FROM places WHERE item_id >= $first AND item_id <= $last"
            ends = {"first": rows[0]["item_id"], "last": rows[-1]["item_id"]}
            for item, run, version, size, start, number in self._database.run(query, ends):
                found[item, run] = ImageRef(item, "", version, size, start, number)
        return [self._ref(row, found) for row in rows]

    def read(self, row: Row, ref: ImageRef) -> bytes | None:
        """The bytes from which the labelled row was made; None where they are others by now, or no
        more. Raises StoreError where the store does not answer.
        """
        try:
            data = self._readers[row["run_id"]].read(ref)
        except ReadFailedError as error:
            raise StoreError(str(error)) from error
        except ItemError:
            return None
        return data if hashlib.sha256(data).hexdigest() == row["content_sha256"] else None

    def _ref(self, row: Row, found: Mapping[_Key, ImageRef]) -> ImageRef:
        item, uri = row["item_id"], row["uri"]
        planned = found.get((item, row["run_id"]))
        if planned:
            return ImageRef(
                item, uri, planned.input_digest, planned.size_bytes, planned.offset, planned.row
            )
        version = row["input_digest"].partition(TEXT_VERSION)[0]
        return ImageRef(item, uri, version, row["size_bytes"])

    def _place(self, one: PastRun, patience: Patience) -> None:
        plan = read_plan(one.run, patience)
        held: list[ImageRef] = []
        for shard in load_shards(one.run, plan, patience=patience) if plan else ():
            held += shard.images
            if len(held) >= BLOCK_IMAGES:
                self._database.insert("places", _places(one.run_id, held))
                held = []
        if held:
            self._database.insert("places", _places(one.run_id, held))


def _places(run_id: str, images: Sequence[ImageRef]) -> pa.Table:
    columns = [
        [image.item_id for image in images],
        [run_id] * len(images),
        [image.input_digest for image in images],
        [image.size_bytes for image in images],
        [image.offset for image in images],
        [image.row for image in images],
    ]
    return pa.table(columns, schema=_PLACES)
