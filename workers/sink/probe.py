"""Several writers try one new name, before a store is trusted with a run."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

from schemas.outcome import StoreError, UsageError
from schemas.run import RUNS
from schemas.uri import join
from workers.sink.create import WRITTEN, Answer, create
from workers.store import PATIENCE, Patience, ask, client_errors, fetch, remove

WRITERS = 3
ROUNDS = 2


def probe(output: str, patience: Patience = PATIENCE) -> None:
    """Raises UsageError where `output` cannot be written, or lets two writers create one name;
    StoreError where it does not answer, or does not give back what it took.
    """
    with ThreadPoolExecutor(WRITERS) as writers:
        for _ in range(ROUNDS):
            ask(output, lambda seconds: _round(output, writers, seconds), patience, WRITTEN)


def _round(output: str, writers: ThreadPoolExecutor, seconds: float) -> None:
    """One new name. Raises TimeoutError where an answer got lost: it shows nothing."""
    name = f"{RUNS}/.probe-{uuid4().hex}"
    place = join(output, name)
    contents = [f"writer {writer}".encode() for writer in range(WRITERS)]
    answers = list(writers.map(lambda data: create(output, name, data, seconds), contents))
    contents.append(b"late")
    answers.append(create(output, name, b"late", seconds))
    try:
        if Answer.UNKNOWN in answers:
            raise TimeoutError("the store did not answer")
        try:
            found = fetch(place, seconds=seconds)
        except FileNotFoundError as error:
            raise StoreError(f"{output} does not give back what it took: {error}") from error
        _judge(output, answers, contents, found)
    finally:
        with suppress(*client_errors()):  # a leftover harms nobody
            remove(place, seconds)


def _judge(output: str, answers: list[Answer], contents: list[bytes], found: bytes) -> None:
    """At most one writer was told that it created, none after the others, and that one is read."""
    told = [
        data for data, answer in zip(contents, answers, strict=True) if answer is Answer.CREATED
    ]
    if len(told) > 1 or b"late" in told or found not in (told or contents):
        raise UsageError(
            f"{output}: this store lets several writers create one name, so that rows could be "
            "lost; write to a disk, S3, GCS or Azure"
        )
