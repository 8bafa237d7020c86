"""What must hold when a simulation is over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.outcome import ErrorCode, Status
from schemas.run import RUNS, RunNames
from schemas.uri import join
from tests.simulation.job import OUTPUT
from workers.inspection import find_run, find_runs, prove
from workers.plan import Run, load_shards, read_plan, read_result, read_spec

if TYPE_CHECKING:
    from tests.simulation.world import World

Row = dict[str, Any]
Reference = dict[tuple[int, str], Row]
"""The row of each image of an undisturbed run, by its number and by how it fails, if it does."""

CONDEMNED = {ErrorCode.REPLICA_CRASHED, ErrorCode.TIMED_OUT}
OUTAGE = {ErrorCode.FORBIDDEN, ErrorCode.READ_FAILED}
PROVEN = 10
"""Of so many seeds one is held to `workers.inspection` too."""
OF_THE_RUN = ("labelled_at", "run_id")
"""Columns in which two runs differ."""


def rows_of(data: bytes) -> list[Row]:
    """The rows of a part."""
    rows: list[Row] = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).to_pylist()
    return rows


def broken_promises(world: World, reference: Reference) -> Iterator[str]:
    """Everything that is wrong with what a simulation left behind."""
    world.reader.look()
    yield from world.scheduler.problems
    if world.scheduler.problems:
        return
    for command in world.commands:
        if command.result is None:
            yield f"{command.name} never ended"
    folders = world.store.folders(join(OUTPUT, RUNS), None)
    ordinals = [int(name) for name in folders if read_spec(OUTPUT, int(name))]
    if not world.scenario.new_run and ordinals != [1]:
        yield f"there are the runs {ordinals}"
    wanted = {int(command.result.run_id) for command in world.commands if command.result}
    for ordinal in ordinals:
        yield from _of_run(world, reference, ordinal, must_be_whole=ordinal in wanted)


def _of_run(world: World, reference: Reference, ordinal: int, must_be_whole: bool) -> Iterator[str]:
    spec = read_spec(OUTPUT, ordinal)
    assert spec is not None
    run = Run(spec, finished=True)
    plan = read_plan(run)
    if plan is None or join(OUTPUT, run.names.result) not in world.store.objects:
        if must_be_whole:
            yield f"run {ordinal} has no plan or no result"
        return
    result = read_result(run)
    told = [one.result for one in world.commands if one.result and one.result.run_id == plan.run_id]
    if any(one != result for one in told):
        yield f"a command was told of another result than that of run {ordinal}"
    shards = list(load_shards(run, plan))
    parts = _parts(world, ordinal)
    if {join(OUTPUT, run.names.part(shard.index)) for shard in shards} != parts.keys():
        yield f"run {ordinal} has {len(parts)} parts for {len(shards)} shards"
        return
    digests = {join(OUTPUT, part.name): part.sha256 for part in result.parts}
    if digests != {uri: hashlib.sha256(data).hexdigest() for uri, data in parts.items()}:
        yield f"the result of run {ordinal} does not name just the parts that there are"
    planned = [image.item_id for shard in shards for image in shard.images]
    rows = [row for uri in sorted(parts) for row in world.reader.rows[uri]]
    if [row["item_id"] for row in rows] != planned or len(set(planned)) != plan.items:
        yield f"run {ordinal} has other rows than its plan has items"
        return
    yield from _of_rows(world, reference, rows, plan.run_id)
    labelled = sum(row["status"] == Status.LABELLED for row in rows)
    if (result.items, result.labelled, result.failed) != (
        plan.items,
        labelled,
        plan.items - labelled,
    ):
        yield f"run {ordinal} has {labelled} labelled rows, its result says {result.labelled}"
    if int(world.scenario.seed) % PROVEN == 0:
        proof = prove(OUTPUT, find_run(OUTPUT, find_runs(OUTPUT), ordinal))
        if not proof.whole or (proof.labelled, proof.failed) != (result.labelled, result.failed):
            yield f"verify does not find run {ordinal} whole: {proof.broken}"


def _parts(world: World, ordinal: int) -> dict[str, bytes]:
    return {
        uri: data
        for uri, (data, _) in world.store.objects.items()
        if uri.startswith(join(OUTPUT, RunNames(ordinal).labels) + "/")
    }


def _of_rows(world: World, reference: Reference, rows: list[Row], run_id: str) -> Iterator[str]:
    """Rows are those of an undisturbed run, but for images that ended replicas."""
    wronged = 0
    for row in rows:
        number = world.numbers[row["item_id"]]
        if row["run_id"] != run_id:
            yield f"image {number} is of run {row['run_id']} in run {run_id}"
        if _is_wronged(world, reference, row, number):
            wronged += 1
        else:
            yield from _of_row(world, reference, row, number)
    # a replica may hold fewer for their own fault than make an outage
    if wronged > world.scenario.most_failures * len(world.actors):
        yield f"{wronged} images are charged with the outage"


def _is_wronged(world: World, reference: Reference, row: Row, number: int) -> bool:
    return (
        world.scenario.outage is not None
        and row["error_code"] in OUTAGE
        and not _same(row, reference[number, world.scenario.failing.get(number, "")])
    )


def _of_row(world: World, reference: Reference, row: Row, number: int) -> Iterator[str]:
    """A row is that of the undisturbed run, or of an image that ended replicas."""
    poison = world.scenario.poison.get(number)
    lost = row["status"] == Status.FAILED and row["error_code"] in CONDEMNED
    if poison == "hang at reading" and lost and row["error_code"] == ErrorCode.TIMED_OUT:
        return
    if lost and row["item_id"] in world.condemned:
        return
    if poison:
        yield f"image {number} is poison and is {row['status']} {row['error_code']}"
    elif not _same(row, expected := reference[number, world.scenario.failing.get(number, "")]):
        differs = {name: row[name] for name in row if row[name] != expected[name]}
        yield f"image {number} is another row than that of an undisturbed run: {differs}"


def _same(row: Row, expected: Row) -> bool:
    return all(row[name] == expected[name] for name in row if name not in OF_THE_RUN)
