"""That a run lost nothing and doubled nothing, proven from its files alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import DamagedPlanError, NewerFormatError, RunFolderError, UsageError
from schemas.rows import SCHEMA_VERSION
from schemas.run import Plan, PlanPage, Result, ResultPart, RunSpec, shard_of
from schemas.snapshot import Pruned
from schemas.uri import join
from workers.inspection.documents import plan_problems, read_page, result_problems
from workers.inspection.part import Expected, Found, examine
from workers.inspection.runs import RunFiles
from workers.plan.documents import Run, find_document
from workers.plan.erasures import Erasures, read_erasures
from workers.plan.snapshot_document import newest_snapshot, read_pruned
from workers.store import PATIENCE, Patience, ask, client_errors_as_ours, fetch, list_pages
from workers.tasks import Task, tasks_of
from workers.threads import in_order

READERS = 8
"""So many parts are held at a time."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that is not what it must be."""

    name: str
    """Relative to OUTPUT."""
    problem: str
    """Completes "`name` …"."""
    shard: int | None = None
    """Whose part it is, if it is one."""


@dataclass(slots=True)
class Proof:
    """What was proven of a run, and what is against it."""

    run_id: str
    job: JobSpec | None
    """None: its spec.json is broken, and nothing else was looked at."""
    finished: bool
    plan: Plan | None = None
    parts: int = 0
    """That are sound; so are the next two."""
    labelled: int = 0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    owed: list[int] = field(default_factory=list)
    """Shards without a part, in order; of an unfinished run only."""
    owed_images: int = 0
    """In these, but for what is forgotten."""
    forgotten: int = 0
    """Images of the plan whose rows were erased."""
    broken: list[Broken] = field(default_factory=list)
    pruned: Pruned | None = None
    """Its rows are in a snapshot, as many as its result counts; of its parts nothing is proven."""

    @property
    def failed(self) -> int:
        return self.failed_by_code.total()

    @property
    def whole(self) -> bool:
        """Every image of the plan is one row, and every file is what it must be."""
        return self.finished and not self.broken


def prove(output: str, files: RunFiles, patience: Patience = PATIENCE) -> Proof:
    """Hold every file of the run at `output` against every other one.

    A page of the plan and a few parts are in memory at a time. Raises UsageError where the run is
    of another schema, a document of a later format or a file may not be read, StoreError.
    """
    run = _run(output, files, patience)
    if isinstance(run, Broken):
        return Proof(files.run_id, None, files.finished, broken=[run])
    job = run.spec.job
    if job.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"run {files.run_id} is of schema version {job.schema_version} and this program knows "
            f"{SCHEMA_VERSION}: verify it with the program that wrote it"
        )
    proof = Proof(files.run_id, job, files.finished)
    result = _result(run, proof, patience) if files.finished else None
    plan = proof.plan = _plan(run, proof, patience)
    erasures = read_erasures(output, patience)
    for one in erasures.open:
        problem = "was begun and not ended: jobs/nightly.py with --forget ends it"
        proof.broken.append(Broken(one.names.erasure, problem))
    if plan is None or not _agree(run, plan, result, erasures, proof):
        return proof
    if files.pruned:
        _look_at_snapshot(run, result, proof, patience)
        return proof
    expected = _expected(run, plan, result, erasures, proof, patience)
    lost: Counter[str] = Counter()
    for part, found in in_order(lambda one: _found(output, one, patience), expected, READERS):
        if found.problems:
            proof.broken.append(Broken(part.name, "; ".join(found.problems), part.shard))
            continue
        proof.parts += 1
        proof.labelled += found.labelled
        proof.failed_by_code += found.failed_by_code
        lost.update(found.forgotten.failed_by_code)
    failed = proof.failed_by_code + lost
    if result and not proof.broken and dict(failed) != result.failed_by_code:
        proof.broken.append(Broken(run.names.result, "counts other error codes than the rows have"))
    return proof


def _run(output: str, files: RunFiles, patience: Patience) -> Run | Broken:
    """What is to be proven, or what is wrong with its spec.json."""
    name = files.names.spec
    data = find_document(output, name, patience)
    if data is None:
        return Broken(name, "was there and is gone")
    try:
        spec = RunSpec.from_json(data, name)
    except NewerFormatError:
        raise
    except (UsageError, RunFolderError) as error:
        return Broken(name, f"cannot be understood ({error})")
    return Run(replace(spec, job=replace(spec.job, output=output)), files.finished)


def _look_at_snapshot(run: Run, result: Result | None, proof: Proof, patience: Patience) -> None:
    """Whether the newest snapshot stands for the pruned run."""
    proof.pruned = read_pruned(run.output, run.names.ordinal, patience)
    if proof.pruned is None or result is None:
        proof.broken.append(Broken(run.names.pruned, "stands in a run without a result"))
        return
    snapshot = newest_snapshot(run.output, proof.pruned.meaning_id, patience)
    if snapshot is None or run.spec.run_id not in snapshot.absorbed_runs:
        proof.broken.append(Broken(run.names.pruned, "leads to a snapshot, and none has the rows"))
        return
    proof.labelled = result.labelled
    proof.failed_by_code += Counter(result.failed_by_code)


def _plan(run: Run, proof: Proof, patience: Patience) -> Plan | None:
    """None where there is none, or none that can be understood."""
    data = find_document(run.output, run.names.plan, patience)
    if data is None:
        if run.finished or any(_files(run, patience)):
            proof.broken.append(Broken(run.names.plan, "is missing"))
        return None
    try:
        return Plan.from_json(data, run.names.plan)
    except NewerFormatError:
        raise
    except (UsageError, DamagedPlanError) as error:
        proof.broken.append(Broken(run.names.plan, f"cannot be understood ({error})"))
        return None


def _result(run: Run, proof: Proof, patience: Patience) -> Result | None:
    """Likewise."""
    data = find_document(run.output, run.names.result, patience)
    try:
        return Result.from_json(data or b"", run.names.result)
    except NewerFormatError:
        raise
    except UsageError as error:
        proof.broken.append(Broken(run.names.result, f"cannot be understood ({error})"))
        return None


def _agree(run: Run, plan: Plan, result: Result | None, erasures: Erasures, proof: Proof) -> bool:
    """Whether the run's documents fit together; else nothing can be held against them."""
    proof.forgotten = sum(erasures.state(page.name, page.sha256).rows for page in plan.pages)
    against = [Broken(run.names.plan, problem) for problem in plan_problems(plan, run.names)]
    if result:
        problems = result_problems(result, plan, run.names, proof.forgotten)
        against += [Broken(run.names.result, problem) for problem in problems]
    proof.broken += against
    return not against


def _expected(
    run: Run,
    plan: Plan,
    result: Result | None,
    erasures: Erasures,
    proof: Proof,
    patience: Patience,
) -> Iterator[Expected]:
    """Each part that is there and belongs there; notes those that do not, and those that lack."""
    tasks = tasks_of(run.spec.job)
    there = set(_files(run, patience))
    wanted = {run.names.part(shard) for shard in range(plan.shards)}
    for name in sorted(there - wanted):
        problem = f"does not belong there, the plan has parts 0 to {plan.shards - 1}"
        proof.broken.append(Broken(name, problem, shard_of(name)))
    last = ""
    for page in plan.pages:
        images, problem = read_page(run, plan, page, erasures, patience)
        if problem:
            proof.broken.append(Broken(page.name, problem))
        last = _require_order(page, images, last, proof)
        for shard in range(page.first_shard, page.first_shard + page.shards):
            name = run.names.part(shard)
            if name in there:
                line = result.parts[shard] if result else None
                yield _part(run, tasks, plan, line, shard, images.get(shard), erasures)
            elif run.finished:
                proof.broken.append(Broken(name, "is missing", shard))
            else:
                proof.owed.append(shard)
                proof.owed_images += len(images.get(shard, range(plan.images_of(shard))))


def _part(
    run: Run,
    tasks: Sequence[Task],
    plan: Plan,
    line: ResultPart | None,
    shard: int,
    images: tuple[ImageRef, ...] | None,
    erasures: Erasures,
) -> Expected:
    return Expected(
        name=run.names.part(shard),
        shard=shard,
        run_id=plan.run_id,
        plan_digest=plan.digest,
        job=run.spec.job,
        tasks=tasks,
        passed=plan.columns,
        rows=plan.images_of(shard) if images is None else len(images),
        images=images,
        line=line,
        states=erasures.states(line.name, line.sha256) if line else (),
    )


def _require_order(
    page: PlanPage, images: dict[int, tuple[ImageRef, ...]], last: str, proof: Proof
) -> str:
    """Note an image that comes after one which it should precede, or twice; the page's last one."""
    for there in images.values():
        for image in there:
            if image.item_id <= last:
                proof.broken.append(Broken(page.name, f"names {image.item_id} twice or too late"))
                return there[-1].item_id
            last = image.item_id
    return last


def _files(run: Run, patience: Patience) -> Iterator[str]:
    """The names of the files where the run's parts belong.

    No reader looks at those that begin with a dot or an underscore.
    """
    folder = join(run.output, run.names.labels) + "/"
    try:
        with client_errors_as_ours(folder, "listed"):
            for page in list_pages(folder, patience):
                for entry in page:
                    name = entry.uri.removeprefix(folder)
                    if name and not name.endswith("/") and name[0] not in "._":
                        yield f"{run.names.labels}/{name}"
    except FileNotFoundError:
        return


def _found(output: str, expected: Expected, patience: Patience) -> tuple[Expected, Found]:
    place = join(output, expected.name)
    try:
        data = ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
    except FileNotFoundError:
        return expected, Found(problems=["was there and is gone"])
    return expected, examine(data, expected)
