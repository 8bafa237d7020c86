"""Several writers try one new name, before a store is trusted with a run."""

from contextlib import suppress
from functools import partial
from uuid import uuid4

from schemas.outcome import StoreError, UsageError
from schemas.run import RUNS
from schemas.uri import join
from workers.sink.create import WRITTEN, Answer, create
from workers.store import PATIENCE, Patience, ask, client_errors, fetch, remove
from workers.threads import in_order

WRITERS = 3
ROUNDS = 2


def probe(output: str, patience: Patience = PATIENCE) -> None:
    """Raises UsageError where `output` cannot be written, or lets two writers create one name;
    StoreError where it does not answer, or does not give back what it took.
    """
    for _ in range(ROUNDS):
        name = f"{RUNS}/.probe-{uuid4().hex}"
        contents = [f"writer {writer}".encode() for writer in range(WRITERS)]
        attempt = partial(_sure_answer, output, name, patience)
        answers = list(in_order(attempt, contents, WRITERS))
        contents.append(b"late")
        answers.append(attempt(b"late"))
        place = join(output, name)
        try:
            found = ask(place, partial(fetch, place, ""), patience)
        except FileNotFoundError as error:
            raise StoreError(f"{output} does not give back what it took: {error}") from error
        _judge(output, answers, contents, found)
        with suppress(*client_errors()):  # a leftover harms nobody
            patience(partial(remove, place))


def _sure_answer(output: str, name: str, patience: Patience, data: bytes) -> Answer:
    """Created or taken; where an answer got lost the name is tried again, and may be taken by
    oneself. Raises StoreError where every answer gets lost.
    """

    def attempt(seconds: float) -> Answer:
        answer = create(output, name, data, seconds)
        if answer is Answer.UNKNOWN:
            raise TimeoutError("the store did not answer")
        return answer

    return ask(join(output, name), attempt, patience, WRITTEN)


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
