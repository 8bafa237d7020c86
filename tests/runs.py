"""Small jobs, rows and folders of images that several tests need."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fsspec
from PIL import Image

from schemas.image import ImageRef, Shard
from schemas.job import JobSpec, Preprocessing, TaskSpec
from schemas.outcome import ErrorCode, Status
from schemas.uri import canonical
from workers.tasks.caption import Caption

PROMPT = "###Human: <Img><ImageHere></Img> what is it? ###Assistant:"
SCHEMAS = (Caption(PROMPT, 20).schema,)
"""Of the tasks of `job_spec`."""


def caption(prompt: str = PROMPT, max_new_tokens: int = 20) -> TaskSpec:
    """The caption task of a job."""
    return Caption(prompt, max_new_tokens).spec


def job_spec(
    input: str = "/in", output: str = "/out", prompt: str = PROMPT, **changes: Any
) -> JobSpec:
    """A valid job that captions."""
    values: dict[str, Any] = {
        "tasks": (caption(prompt),),
        "model_id": "pocket",
        "model_digest": "0" * 64,
        "quantization": "none",
        "preprocessing": Preprocessing(56, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    }
    return JobSpec(canonical(input), canonical(output), **(values | changes))


def png(colour: str = "red") -> bytes:
    """A small PNG."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def put(place: str, name: str, data: bytes) -> None:
    """Write one object of any store, folders included, replacing what is there."""
    store, path = fsspec.url_to_fs(place)
    target = f"{path}/{name}"
    store.makedirs(target.rpartition("/")[0], exist_ok=True)
    store.pipe_file(target, data)


def refs(count: int, place: str = "/in") -> list[ImageRef]:
    """`count` items in order."""
    uris = [f"{place}/{number:04d}.png" for number in range(count)]
    return [ImageRef(uri, uri, "mtime:3-1", 3) for uri in uris]


def row(image: ImageRef, run_id: str = "00000001", code: ErrorCode | None = None) -> dict[str, Any]:
    """A labelled row, or with `code` a failed one."""
    return {
        "item_id": image.item_id,
        "uri": image.uri,
        "input_digest": image.input_digest,
        "meaning_id": job_spec().meaning_id(),
        "code_version": "0" * 16,
        "size_bytes": image.size_bytes,
        "width": None if code else 8,
        "height": None if code else 8,
        "content_sha256": None if code else "0" * 64,
        "status": Status.FAILED if code else Status.LABELLED,
        "error_code": code,
        "error_message": "it failed" if code else None,
        "caption": None if code else f"a picture of {image.item_id}",
        "prompt": "what is <ImageHere>",
        "model_id": "pocket",
        "model_digest": "0" * 64,
        "quantization": "none",
        "run_id": run_id,
        "labelled_at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    }


def rows(shard: Shard, run_id: str = "00000001") -> list[dict[str, Any]]:
    """A labelled row for each item of `shard`."""
    return [row(image, run_id) for image in shard.images]
