"""The rows of one shard → one immutable Parquet part. Its existence is the commit."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import Shard
from schemas.outcome import ForeignPartError, RunFolderError, Status
from schemas.run import PART_KEY, PartFooter, PartRecord, RunNames, shard_of
from schemas.uri import join
from workers.sink.create import commit
from workers.store import PATIENCE, Patience, ask, client_errors_as_ours, fetch, list_pages


def commit_part(
    output: str,
    run_id: str,
    plan_digest: str,
    shard: Shard,
    rows: Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    attempt: str,
    patience: Patience = PATIENCE,
) -> PartRecord:
    """Write `rows`, one for each image of `shard` and in its order, as the shard's part.

    `schema` is one of `schemas.rows.row_schema`, `attempt` is random. Returns what the name holds
    from now on: this part, or the one with which a twin at the same shard was faster. Raises
    ForeignPartError where the name is taken by anything else, StoreError, and UsageError where
    OUTPUT may not be written.
    """
    if [row["item_id"] for row in rows] != [image.item_id for image in shard.images]:
        raise AssertionError(f"shard {shard.index}: not one row for each item, in its order")
    failed = Counter(row["error_code"] for row in rows if row["status"] == Status.FAILED)
    footer = PartFooter(
        run_id=run_id,
        shard=shard.index,
        plan_digest=plan_digest,
        attempt=attempt,
        labelled=len(rows) - failed.total(),
        failed=failed.total(),
        failed_by_code={str(code): count for code, count in failed.items()},
    )
    name = RunNames(int(run_id)).part(shard.index)
    data = encode_part(rows, schema, footer)
    record = _record(output, name, commit(output, name, data, patience))
    _require_ours(record, run_id, plan_digest, shard.index)
    return record


def encode_part(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, footer: PartFooter) -> bytes:
    """`rows` as a Parquet file of `schema` that carries `footer`."""
    for row in rows:
        if row.keys() != set(schema.names):
            raise AssertionError(f"columns {sorted(row.keys() ^ set(schema.names))} do not fit")
    schema = schema.with_metadata(schema.metadata | {PART_KEY: footer.to_json()})
    table = pa.Table.from_pylist(list(rows), schema=schema)
    for column in schema:
        if not column.nullable and table[column.name].null_count:
            raise AssertionError(f"column {column.name} is empty in some row")
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def committed(output: str, run_id: str, patience: Patience = PATIENCE) -> set[int]:
    """The shards whose parts exist now: files of just the names that `commit_part` gives.

    Raises UsageError where OUTPUT may not be listed, StoreError.
    """
    names = RunNames(int(run_id))
    folder = join(output, names.labels) + "/"
    found = set()  # numbers alone: there may be millions
    try:
        with client_errors_as_ours(folder, "listed"):
            for page in list_pages(folder, patience):
                for entry in page:
                    shard = shard_of(entry.uri)
                    if shard is not None and entry.uri == join(output, names.part(shard)):
                        found.add(shard)
    except FileNotFoundError:
        return set()
    return found


def read_part(
    output: str, run_id: str, plan_digest: str, shard: int, patience: Patience = PATIENCE
) -> PartRecord:
    """What there is to know of the committed part of `shard`. Raises as `fetch_part`."""
    return fetch_part(output, run_id, plan_digest, shard, patience)[0]


def fetch_part(
    output: str, run_id: str, plan_digest: str, shard: int, patience: Patience = PATIENCE
) -> tuple[PartRecord, bytes]:
    """The committed part of `shard`, and its bytes.

    Raises ForeignPartError where it is not of this plan, RunFolderError where it is gone,
    UsageError where it may not be read, StoreError.
    """
    name = RunNames(int(run_id)).part(shard)
    place = join(output, name)
    try:
        data = ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{place} was there and is gone; the same command labels its images again"
        ) from error
    record = _record(output, name, data)
    _require_ours(record, run_id, plan_digest, shard)
    return record, data


def footer_of(data: bytes, place: str) -> PartFooter:
    """The footer of the part at `place`, of which `data` is all, or an end with the metadata in it.

    Raises ForeignPartError where it is no part, UsageError where its footer is of another format.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(data)).metadata or {}
        return PartFooter.from_json(metadata[PART_KEY], place)
    except (pa.ArrowException, OSError, KeyError) as error:  # OSError: Thrift that is none
        raise ForeignPartError(f"{place} is there and was not written by this program") from error


def _record(output: str, name: str, data: bytes) -> PartRecord:
    footer = footer_of(data, join(output, name))
    return PartRecord(name, hashlib.sha256(data).hexdigest(), footer, len(data))


def _require_ours(record: PartRecord, run_id: str, plan_digest: str, shard: int) -> None:
    footer = record.footer
    if (footer.run_id, footer.plan_digest) == (run_id, plan_digest) and footer.shard != shard:
        raise ForeignPartError(
            f"{record.name} says that it is shard {footer.shard}: somebody copied or renamed it; "
            "take it away, and the same command goes on"
        )
    if (footer.run_id, footer.plan_digest, footer.shard) != (run_id, plan_digest, shard):
        raise ForeignPartError(
            f"{record.name} belongs to shard {footer.shard} of run {footer.run_id} under another "
            "plan: OUTPUT was written to by something else; nothing was replaced"
        )
