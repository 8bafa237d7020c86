"""One replica with a real network and real files, and no Ray."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from socket import gethostname

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from schemas.image import ImageRef, Shard
from schemas.job import JobSpec
from schemas.outcome import (
    CheckpointError,
    ErrorCode,
    Failure,
    ForbiddenError,
    ForeignPartError,
    PromptError,
    ReadFailedError,
    StoreOutageError,
    UsageError,
)
from schemas.rows import PassedColumn, row_schema
from schemas.run import RunNames, RunSpec
from schemas.version import code_version
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.pictures import write_broken, write_pictures
from tests.runs import SCHEMAS, caption
from workers.ahead import Budget
from workers.images import resize
from workers.messages import (
    Assignment,
    BatchBegun,
    Caution,
    Committed,
    Rehearsed,
    Settled,
    Withheld,
)
from workers.model import TinyGPTV
from workers.plan import fill
from workers.plan.listing import open_listing
from workers.plan.pages import images_of
from workers.replica import Replica
from workers.request import Request, Wish
from workers.sink import commit
from workers.source import Reader, list_images
from workers.store import Patience

PLAN = "0" * 64


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


def job_for(
    images: Path,
    checkpoint: Path,
    prompt: str | None = None,
    output: Path | None = None,
    quant: str = "auto",
) -> JobSpec:
    places = str(images), str(output or images.parent / "out")
    asked = (Wish("caption", {"prompt": "brief" if prompt is None else prompt}),)
    request = Request(*places, asked, str(checkpoint), quantization=quant)
    return request.resolve("cpu")


def prompt_of(job: JobSpec) -> str:
    return str(job.tasks[0].options["prompt"])


def replica_for(
    job: JobSpec, checkpoint: Path, batch_size: int = 4, threads: int = 1, claimant: str = "me"
) -> Replica:
    """A replica of the run that "me" claimed."""
    spec = RunSpec("00000001", job, "me", code_version(), datetime.now(UTC).isoformat())
    commit(job.output, RunNames(1).spec, spec.to_json())
    return Replica(assignment_of(job, checkpoint, batch_size, threads, claimant))


def assignment_of(
    job: JobSpec, checkpoint: Path, batch_size: int = 4, threads: int = 1, claimant: str = "me"
) -> Assignment:
    return Assignment(
        job=job,
        run_id="00000001",
        plan_digest=PLAN,
        columns=(),
        model=str(checkpoint),
        device="cpu",
        batch_size=batch_size,
        threads=threads,
        item_seconds=60,
        news_seconds=0,
        witnesses=(),
        claimant=claimant,
    )


def shard_of(job: JobSpec, index: int = 0) -> Shard:
    listed = [image for page in list_images(job) for image in page.images]
    return Shard(index, tuple(sorted(listed, key=lambda image: image.item_id)))


def outcome_of(replica: Replica, shard: Shard, caution: Caution | None = None) -> Committed:
    *_, outcome = replica.process(shard, caution)
    assert isinstance(outcome, Committed)
    return outcome


def rows_of(job: JobSpec, outcome: Committed) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(Path(job.output, outcome.part.name)).to_pylist()
    return rows


def test_a_rehearsal_is_a_shard_that_nobody_sees(images: Path, checkpoint: Path) -> None:
    """It looks as a run does, at what fails too, and encodes a part of just that size, to which an
    image adds what it adds there; it needs no claim, and OUTPUT is as it was.
    """
    write_pictures(images, 9)
    write_broken(images)
    job = job_for(images, checkpoint)
    part = outcome_of(replica_for(job, checkpoint), shard_of(job)).part
    labels = Path(job.output)
    before = sorted(labels.rglob("*"))
    ticks = count()
    replica = Replica(assignment_of(job, checkpoint, claimant=""), clock=lambda: float(next(ticks)))
    (told,) = replica.rehearse(shard_of(job))
    assert isinstance(told, Rehearsed)
    assert (told.images, told.failed_by_code) == (12, part.footer.failed_by_code)
    assert told.formats == {"PNG": 10}  # the truncated one begins like one
    assert told.input_bytes == sum(path.stat().st_size for path in images.iterdir())
    assert told.seconds > 0
    assert told.part_bytes == pytest.approx(part.size_bytes, rel=0.02)
    assert 0 < 12 * told.bytes_per_image < told.part_bytes
    assert part.size_bytes == (labels / part.name).stat().st_size
    assert sorted(labels.rglob("*")) == before


def test_a_shard_becomes_one_part_with_a_row_an_image(images: Path, checkpoint: Path) -> None:
    """Every image is one row, in the plan's order, with the answer the model gives by itself."""
    paths = write_pictures(images, 10)
    job = job_for(images, checkpoint)
    before = datetime.now(UTC)
    outcome = outcome_of(replica_for(job, checkpoint), shard_of(job))
    rows = rows_of(job, outcome)
    assert [row["uri"] for row in rows] == [str(path) for path in paths]
    assert [row["caption"] for row in rows] == tiny_model().caption(paths)
    assert len({row["caption"] for row in rows}) > 1
    for row, path in zip(rows, paths, strict=True):
        assert row["status"] == "labelled"
        assert row["error_code"] is None
        assert (row["width"], row["height"]) == (40, 30)
        assert row["content_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["size_bytes"] == path.stat().st_size
        assert row["prompt"] == prompt_of(job)
        assert row["meaning_id"] == job.meaning_id()
        assert row["code_version"] == code_version()
        assert row["model_id"] == "tiny"
        assert row["model_digest"] == job.model_digest
        assert row["quantization"] == "none"
        assert row["run_id"] == "00000001"
        assert isinstance(row["labelled_at"], datetime)
        assert before <= row["labelled_at"] <= datetime.now(UTC)
    footer = outcome.part.footer
    assert (footer.labelled, footer.failed, footer.plan_digest) == (10, 0, PLAN)


def test_the_model_is_held_as_planned(images: Path, checkpoint: Path) -> None:
    """A job's quantization is that of the network that answers, and of the rows."""
    paths = write_pictures(images, 6)
    job = job_for(images, checkpoint, quant="int4")
    rows = rows_of(job, outcome_of(replica_for(job, checkpoint), shard_of(job)))
    assert {row["quantization"] for row in rows} == {"int4"}
    captions = [row["caption"] for row in rows]
    assert captions == TinyGPTV.from_pretrained(checkpoint, quant="int4").caption(paths)
    assert captions != tiny_model().caption(paths)


def test_what_is_no_image_is_a_row(images: Path, checkpoint: Path) -> None:
    """A broken file costs its own row and no other, and the row tells what is known of it."""
    write_pictures(images, 3)
    broken = write_broken(images)
    job = job_for(images, checkpoint)
    shard = shard_of(job)
    gone = images / "picture-0001.png"
    gone.unlink()
    outcome = outcome_of(replica_for(job, checkpoint), shard)
    rows = {str(row["uri"]): row for row in rows_of(job, outcome)}
    assert len(rows) == len(shard) == 6
    for code, path in broken.items():
        row = rows[str(path)]
        assert (row["status"], row["error_code"]) == ("failed", code)
        assert row["error_message"]
        assert row["caption"] is None
        assert row["width"] is None
        assert row["prompt"] == prompt_of(job)
        assert row["content_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert rows[str(gone)]["error_code"] == "not_found"
    assert rows[str(gone)]["content_sha256"] is None
    assert outcome.part.footer.failed_by_code == dict.fromkeys([*broken, "not_found"], 1)


def test_a_shard_of_failures_alone_has_the_same_schema(images: Path, checkpoint: Path) -> None:
    """A shard in which nothing can be labelled is a part like any other."""
    write_broken(images)
    job = job_for(images, checkpoint)
    outcome = outcome_of(replica_for(job, checkpoint), shard_of(job))
    schema = pq.read_schema(Path(job.output, outcome.part.name))
    assert schema.equals(row_schema(SCHEMAS))
    assert outcome.part.footer.labelled == 0


def test_labels_do_not_depend_on_what_else_fails(images: Path, checkpoint: Path) -> None:
    """Batches are cut by the plan: a failure changes no other image's batch, nor its answer."""
    write_pictures(images, 9)
    job = job_for(images, checkpoint)
    shard = shard_of(job)
    whole = rows_of(job, outcome_of(replica_for(job, checkpoint), shard))
    (images / "picture-0004.png").write_bytes(b"")
    damaged = rows_of(job, outcome_of(replica_for(job, checkpoint), Shard(1, shard.images)))
    for row, other in zip(whole, damaged, strict=True):
        if row["uri"] != str(images / "picture-0004.png"):
            assert row["caption"] == other["caption"]


@pytest.mark.parametrize(
    "caution", [None, Caution(), Caution(suspects=(4, 5, 6, 7)), Caution(suspects=(9,))]
)
def test_each_batch_is_announced_before_it_is_looked_at(
    images: Path, checkpoint: Path, caution: Caution | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches cover the shard, in order but for suspects; cautious, nothing is read before."""
    paths = write_pictures(images, 10)
    read: list[ImageRef] = []
    read_one = Reader.read
    monkeypatch.setattr(
        Reader, "read", lambda self, ref: (read.append(ref), read_one(self, ref))[1]
    )
    job = job_for(images, checkpoint)
    replica, shard = replica_for(job, checkpoint), shard_of(job)
    announced: list[int] = []
    begun: list[BatchBegun] = []
    for message in replica.process(shard, caution):
        if isinstance(message, BatchBegun):
            begun.append(message)
            assert message.images_before == len(announced)
            if caution:
                assert len(read) == len(announced)
            announced += message.positions
        else:
            assert isinstance(message, Committed)
            assert [row["uri"] for row in rows_of(job, message)] == [str(path) for path in paths]
    if caution:  # a crash from here on is none of theirs
        assert begun[-1] == BatchBegun((), len(shard))
    first = caution.suspects if caution else ()
    assert announced == [*first, *(place for place in range(10) if place not in first)]
    assert len(read) == len(shard)


def test_a_text_beside_an_image_is_the_planned_one(images: Path, checkpoint: Path) -> None:
    """A row is of the versions that the plan has of image and text: another text, or one that went
    since, fails the image, and one that came since is not read.
    """
    write_pictures(images, 4)
    texts = [images / f"picture-{number:04d}.txt" for number in range(4)]
    for text in texts[:3]:
        text.write_text("a day")
    request = Request(str(images), str(images.parent / "out"), (Wish("hateful"),), str(checkpoint))
    job = request.resolve("cpu")
    with open_listing(job) as listing:
        fill(listing, job, 1)
        shard = Shard(0, tuple(one for some in listing.in_order() for one in images_of(some)))
    texts[1].write_text("another day")
    texts[2].unlink()
    texts[3].write_text("a new day")
    rows = rows_of(job, outcome_of(replica_for(job, checkpoint), shard))
    assert [row["hateful_text"] for row in rows] == ["a day", None, None, ""]
    codes = [None, ErrorCode.CHANGED_SINCE_PLAN, ErrorCode.NOT_FOUND, None]
    assert [row["error_code"] for row in rows] == codes
    assert [row["input_digest"] for row in rows] == [job.input_digest(one) for one in shard.images]
    assert ["+text:mtime:5-" in str(row["input_digest"]) for row in rows] == [True] * 3 + [False]


def test_a_condemned_image_is_not_looked_at(images: Path, checkpoint: Path) -> None:
    """It is a failed row with the reason that it was condemned for; the others are labelled."""
    paths = write_pictures(images, 6)
    job = job_for(images, checkpoint)
    shard = shard_of(job)
    paths[2].unlink()
    paths[3].unlink()
    reason = Failure(ErrorCode.REPLICA_CRASHED, "the process that looked at it died: killed")
    rows = rows_of(
        job,
        outcome_of(replica_for(job, checkpoint), shard, Caution(condemned=((2, reason),))),
    )
    codes = [row["error_code"] for row in rows]
    assert codes == [None, None, "replica_crashed", "not_found", None, None]
    assert rows[2]["error_message"] == reason.error_message
    assert rows[2]["size_bytes"] == shard.images[2].size_bytes


def test_news_of_an_ordinary_shard_is_not_repeated(images: Path, checkpoint: Path) -> None:
    """Within `news_seconds` the driver hears of one batch; cautious, of each and of the end."""
    write_pictures(images, 10)
    job = job_for(images, checkpoint)
    replica_for(job, checkpoint)
    replica = Replica(replace(assignment_of(job, checkpoint), news_seconds=3600))
    for caution, batches in ((None, 1), (Caution(), 4)):
        messages = list(replica.process(shard_of(job), caution))
        assert sum(isinstance(message, BatchBegun) for message in messages) == batches


def test_an_image_that_never_ends_is_a_row_and_wears_its_replica_out(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread is left behind: the shard is committed whole, and the replica wants to go."""
    paths = write_pictures(images, 10)
    stuck, read_one = threading.Event(), Reader.read

    def read(self: Reader, ref: ImageRef) -> bytes:
        if ref.uri == str(paths[5]):
            stuck.wait()
        return read_one(self, ref)

    monkeypatch.setattr(Reader, "read", read)
    monkeypatch.setattr("workers.replica.PATIENCE", Patience(seconds=0))
    job = job_for(images, checkpoint)
    replica_for(job, checkpoint)
    replica = Replica(replace(assignment_of(job, checkpoint), item_seconds=1))
    try:
        outcome = outcome_of(replica, shard_of(job))
    finally:
        stuck.set()
    assert outcome.worn_out
    rows = rows_of(job, outcome)
    assert [row["error_code"] for row in rows] == [None] * 5 + ["timed_out"] + [None] * 4
    assert "was not read and decoded within 1 s" in str(rows[5]["error_message"])


def test_an_image_that_is_looked_at_again_may_hang(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that tells an outage has its limit too: the replica does not hang in it."""
    write_pictures(images, 3)
    stuck, read, read_one = threading.Event(), set[str](), Reader.read

    def outage(self: Reader, ref: ImageRef) -> bytes:
        if len(read) < 3:
            read.add(ref.item_id)
            return read_one(self, ref)
        if ref == labelled:
            stuck.wait()
        raise ForbiddenError(f"{ref.uri}: no permission to read it")

    job = job_for(images, checkpoint)
    *others, labelled = shard_of(job).images
    monkeypatch.setattr(Reader, "read", outage)
    monkeypatch.setattr("workers.replica.PATIENCE", Patience(seconds=0))
    replica_for(job, checkpoint)
    replica = Replica(replace(assignment_of(job, checkpoint), item_seconds=1))
    try:
        with pytest.raises(StoreOutageError):
            list(replica.process(Shard(0, (*others, labelled, *others * 150))))
    finally:
        stuck.set()


def test_memory_is_held_until_the_picture_is_small(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's bytes and its pixels count as held while they are resized: they are there still."""
    write_pictures(images, 3)
    held, hold, depths = threading.local(), Budget.hold, list[int]()

    @contextmanager
    def noting(self: Budget, size: int) -> Iterator[None]:
        with hold(self, size):
            held.depth = getattr(held, "depth", 0) + 1
            yield
            held.depth -= 1

    def resizing(image: Image.Image, size: int) -> Image.Image:
        depths.append(held.depth)
        return resize(image, size)

    monkeypatch.setattr(Budget, "hold", noting)
    monkeypatch.setattr("workers.replica.resize", resizing)
    job = job_for(images, checkpoint)
    outcome_of(replica_for(job, checkpoint), shard_of(job))
    assert depths == [2, 2, 2]


def test_failures_that_may_be_the_stores_wait_for_one_that_succeeds(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard whose last images are refused is committed with the next one that ends well."""
    write_pictures(images, 6)
    refused: set[str] = set()
    read_one = Reader.read

    def read(self: Reader, ref: ImageRef) -> bytes:
        if ref.item_id in refused:
            raise ForbiddenError(f"{ref.uri}: no permission to read it")
        return read_one(self, ref)

    monkeypatch.setattr(Reader, "read", read)
    job = job_for(images, checkpoint)
    replica, whole = replica_for(job, checkpoint), shard_of(job)
    refused.update(image.item_id for image in whole.images[:2])
    labels = Path(job.output, "labels")
    assert isinstance(list(replica.process(Shard(0, whole.images[:2])))[-1], Withheld)
    assert isinstance(list(replica.process(Shard(1, whole.images[:1])))[-1], Withheld)
    assert not labels.exists()
    messages = list(replica.process(Shard(2, whole.images[2:])))
    committed = [message for message in messages if isinstance(message, Committed)]
    assert [message.part.footer.shard for message in committed] == [0, 1, 2]
    assert isinstance(list(replica.process(Shard(3, whole.images[:1])))[-1], Withheld)
    settled = list(replica.settle())
    assert [type(message) for message in settled] == [Committed, Settled]
    assert len(list(labels.rglob("*.parquet"))) == 4


def test_an_outage_is_no_row(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that expire in the middle of a shard end the replica; nothing is committed."""
    paths = write_pictures(images, 3)
    read, read_one = 0, Reader.read

    def expire(self: Reader, ref: ImageRef) -> bytes:
        nonlocal read
        read += 1
        if read > 3:
            raise ForbiddenError(f"{ref.uri}: the credentials have expired")
        return read_one(self, ref)

    monkeypatch.setattr(Reader, "read", expire)
    job = job_for(images, checkpoint)
    replica, images_once = replica_for(job, checkpoint), shard_of(job).images
    with pytest.raises(StoreOutageError, match=r"200 images in a row .*credentials have expired"):
        list(replica.process(Shard(0, images_once * 100)))
    assert not Path(job.output, "labels").exists()
    assert paths[0].exists()


def test_an_outage_that_passes_is_no_row(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a store did not give while it was away, however little, is looked at once more."""
    write_pictures(images, 8)
    away, read_one = 5, Reader.read

    def read(self: Reader, ref: ImageRef) -> bytes:
        nonlocal away
        if away:
            away -= 1
            raise ReadFailedError(f"{ref.uri} cannot be read: HTTP 503")
        return read_one(self, ref)

    monkeypatch.setattr(Reader, "read", read)
    job = job_for(images, checkpoint)
    rows = rows_of(job, outcome_of(replica_for(job, checkpoint), shard_of(job)))
    assert [row["error_code"] for row in rows] == [None] * 8


def test_an_input_that_begins_with_what_is_forbidden_is_no_outage(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that has labelled nothing yet looks at images from all over the plan."""
    write_pictures(images, 2)
    read_one = Reader.read

    def read(self: Reader, ref: ImageRef) -> bytes:
        if ref.uri.endswith("0.png"):
            raise ForbiddenError(f"{ref.uri}: no permission to read it")
        return read_one(self, ref)

    monkeypatch.setattr(Reader, "read", read)
    monkeypatch.setattr(Reader, "touch", read)
    job = job_for(images, checkpoint)
    forbidden, other = shard_of(job).images
    replica_for(job, checkpoint)
    lost = Replica(replace(assignment_of(job, checkpoint), witnesses=(forbidden,)))
    with pytest.raises(StoreOutageError):
        list(lost.process(Shard(0, (forbidden,) * 250)))
    replica = Replica(replace(assignment_of(job, checkpoint), witnesses=(forbidden, other)))
    assert isinstance(list(replica.process(Shard(0, (forbidden,) * 250)))[-1], Withheld)
    committed, _ = replica.settle()
    assert isinstance(committed, Committed)
    assert committed.part.footer.failed_by_code == {"forbidden": 250}


def test_forbidden_images_are_rows_while_others_can_be_read(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are: an image that was labelled before still can be."""
    paths = write_pictures(images, 3)
    read_one = Reader.read

    def read(self: Reader, ref: ImageRef) -> bytes:
        if ref.uri != str(paths[0]):
            raise ForbiddenError(f"{ref.uri}: no permission to read it")
        return read_one(self, ref)

    monkeypatch.setattr(Reader, "read", read)
    job = job_for(images, checkpoint)
    first, *others = shard_of(job).images
    replica = replica_for(job, checkpoint)
    messages = list(replica.process(Shard(0, (first, *others * 250))))
    assert isinstance(messages[-1], Withheld)  # 500 are 200 + 200 + 100, and these wait
    committed, _ = replica.settle()
    assert isinstance(committed, Committed)
    assert committed.part.footer.failed_by_code == {"forbidden": 500}


def test_what_was_known_when_it_was_planned_is_not_read(images: Path, checkpoint: Path) -> None:
    """An item that came with its failure is a row with it."""
    write_pictures(images, 2)
    job = job_for(images, checkpoint)
    good, other = shard_of(job).images
    reason = Failure(ErrorCode.BAD_REFERENCE, "row 7 names no image")
    bad = replace(other, failure=reason)
    rows = rows_of(job, outcome_of(replica_for(job, checkpoint), Shard(0, (good, bad))))
    assert [row["error_code"] for row in rows] == [None, "bad_reference"]
    assert rows[1]["error_message"] == reason.error_message


def test_columns_of_input_are_passed_on(images: Path, checkpoint: Path) -> None:
    """With the plan's types and names, null where an item says nothing."""
    write_pictures(images, 2)
    job = job_for(images, checkpoint)
    replica_for(job, checkpoint)
    columns = (PassedColumn("text", "string"), PassedColumn("width", "int64"))
    replica = Replica(replace(assignment_of(job, checkpoint), columns=columns))
    one, other = shard_of(job).images
    said = replace(one, columns='{"text":"hello","width":7}')
    rows = rows_of(job, outcome_of(replica, Shard(0, (said, other))))
    assert [(row["text"], row["input_width"]) for row in rows] == [("hello", 7), (None, None)]
    assert rows[0]["width"] == 40


class Picky:
    """The tiny network, on a device that fails on some images and cannot hold many."""

    def __init__(self, raises: Exception, most: int, refused: Sequence[bytes] = ()) -> None:
        self.model = tiny_model()
        self.raises = raises
        self.most = most
        self.refused = refused
        self.sizes: list[int] = []

    def encode(self, images: Sequence[Image.Image]) -> object:
        self.sizes.append(len(images))
        if len(images) > self.most or any(image.tobytes() in self.refused for image in images):
            raise self.raises
        return self.model.encode(images)

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)


def test_a_batch_that_does_not_fit_is_halved(
    images: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device with room for two images at a time labels all of a batch of eight."""
    paths = write_pictures(images, 8)
    job = job_for(images, checkpoint)
    replica = replica_for(job, checkpoint, batch_size=8)
    device = Picky(torch.OutOfMemoryError("no room"), most=2)
    monkeypatch.setattr(replica, "_model", device)
    rows = rows_of(job, outcome_of(replica, shard_of(job)))
    assert [row["caption"] for row in rows] == tiny_model().caption(paths)
    assert device.sizes == [8, 4, 2, 2, 4, 2, 2]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (torch.OutOfMemoryError("no room"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("a kernel gave up"), "model_failed"),
    ],
)
def test_the_image_that_the_model_fails_on_is_a_row(
    images: Path,
    checkpoint: Path,
    raised: Exception,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Halving ends at the one image that fails; the others of its batch are labelled."""
    paths = write_pictures(images, 5)
    job = job_for(images, checkpoint)
    replica = replica_for(job, checkpoint, batch_size=5)
    poison = Image.open(paths[3]).convert("RGB").resize((56, 56), Image.Resampling.BICUBIC)
    monkeypatch.setattr(replica, "_model", Picky(raised, most=5, refused=[poison.tobytes()]))
    rows = rows_of(job, outcome_of(replica, shard_of(job)))
    assert [row["error_code"] for row in rows] == [None, None, None, code, None]
    assert rows[3]["width"] == 40


def test_a_prompt_that_cannot_be_asked_stops_the_replica(images: Path, checkpoint: Path) -> None:
    """What would fail on every image alike is raised, and nothing is committed."""
    write_pictures(images, 2)
    job = job_for(images, checkpoint)
    job = replace(job, tasks=(caption("<ImageHere>" + "long " * 500),))
    with pytest.raises(PromptError):
        list(replica_for(job, checkpoint).process(shard_of(job)))
    assert not Path(job.output, "labels").exists()


def test_a_part_that_is_there_already_stays(images: Path, checkpoint: Path) -> None:
    """A second attempt at a committed shard finds its twin's part and leaves it as it is."""
    write_pictures(images, 3)
    job = job_for(images, checkpoint)
    first = outcome_of(replica_for(job, checkpoint), shard_of(job))
    second = outcome_of(replica_for(job, checkpoint), shard_of(job))
    assert first.part == second.part  # the random name of the attempt included


def test_a_foreign_file_under_a_parts_name_is_not_replaced(images: Path, checkpoint: Path) -> None:
    """A part's name that somebody else took stops the replica."""
    write_pictures(images, 3)
    job = job_for(images, checkpoint)
    taken = Path(job.output, "labels", "run=00000001", "part-00000.parquet")
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"mine")
    with pytest.raises(ForeignPartError):
        outcome_of(replica_for(job, checkpoint), shard_of(job))
    assert taken.read_bytes() == b"mine"


def test_another_model_than_the_planned_one_is_refused(
    images: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """A folder whose content changed since the plan labels nothing."""
    write_pictures(images, 1)
    other = save_tiny_checkpoint(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="another model"):
        replica_for(job_for(images, checkpoint), other)


def test_an_output_that_is_another_folder_here_is_refused(images: Path, checkpoint: Path) -> None:
    """A machine on which OUTPUT's path leads to another run's folder, or to none, says so."""
    write_pictures(images, 1)
    job = job_for(images, checkpoint)
    with pytest.raises(UsageError, match=rf"on {gethostname()} the folder {job.output} does not"):
        replica_for(job, checkpoint, claimant="another")
    Path(job.output, RunNames(1).spec).unlink()
    with pytest.raises(UsageError, match="does not hold this run"):
        Replica(assignment_of(job, checkpoint))


@pytest.mark.parametrize("pattern", ["", "/*.png", "/**/pic*"])
def test_an_input_that_is_not_here_is_refused(images: Path, checkpoint: Path, pattern: str) -> None:
    """A machine without INPUT's folder, or without the literal part of a glob, says so."""
    write_pictures(images, 1)
    job = job_for(Path(f"{images}{pattern}"), checkpoint, output=images.parent / "out")
    replica_for(job, checkpoint)
    images.rename(images.parent / "elsewhere")
    with pytest.raises(UsageError, match=rf"{gethostname()} has no {images}"):
        replica_for(job, checkpoint)


def test_the_model_computes_with_as_many_threads_as_it_was_given(
    images: Path, checkpoint: Path
) -> None:
    """A replica takes the CPUs that are its own, and no neighbour's."""
    write_pictures(images, 1)
    job, before = job_for(images, checkpoint), torch.get_num_threads()
    try:
        for threads in (3, 1):
            replica_for(job, checkpoint, threads=threads)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
