"""What one run is asked to do, and the names that follow from it."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from schemas import document
from schemas.image import ImageRef, InputFormat
from schemas.outcome import ErrorCode, PromptError, UsageError
from schemas.passed import said_under
from schemas.rows import SCHEMA_VERSION

SEMANTICS = 1
"""Raised whenever the same inputs would be given other labels by changed code."""

TEXT_COLUMN = "column:"
"""What `JobSpec.text` begins with where the text is a column of INPUT, whose name follows."""
SIDECAR = "sidecar"
"""What it is where the text is a file beside each image."""

TEXT_VERSION = "+text:"
"""What stands in a version between the image's own, which may be empty, and that of its text."""

IMAGE_PLACEHOLDER = "<ImageHere>"
NAME_LENGTH = 16
"""Hex digits of `meaning_id` and `fingerprint`."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize straight to `image_size`², then (x / 255 - mean) / std for each channel, RGB."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise UsageError(f"image size {self.image_size}: at least 1 pixel")
        if {len(self.mean), len(self.std)} != {3} or min(self.std) <= 0:
            raise UsageError("image mean and std are three numbers each, std above 0")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task as planned; the class of that name in `workers.tasks` knows what it means."""

    name: str
    options: Mapping[str, Any]
    """All that decides its labels beside model and image, as JSON has it; a `prompt` among them
    holds `<ImageHere>` once."""
    version: int = 1
    """Of its columns."""

    def __post_init__(self) -> None:
        if str(self.options.get("prompt", IMAGE_PLACEHOLDER)).count(IMAGE_PLACEHOLDER) != 1:
            raise PromptError(f"the prompt must hold exactly one {IMAGE_PLACEHOLDER}")
        try:
            self.key()
        except UnicodeEncodeError as error:
            said = error.object[error.start : error.end]
            raise PromptError(
                f"what {self.name} asks holds {said!a}, which is not UTF-8"
            ) from error

    def __hash__(self) -> int:
        return hash((self.name, self.version))  # options are not hashable

    def key(self) -> str:
        """By it the tasks of a job are ordered, in whatever order they are asked for."""
        return document.dumps({"name": self.name, "options": self.options}).decode()


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job as planned: everything is resolved, nothing says `auto`.

    `input` and `output` are canonical (`schemas.uri.canonical`). The shape of the cluster is not
    part of it: the same job on other machines is the same job.
    """

    input: str
    output: str
    tasks: tuple[TaskSpec, ...]
    """What every image is asked, by their `key`."""
    model_id: str
    model_digest: str
    quantization: str
    preprocessing: Preprocessing
    input_format: InputFormat = InputFormat.IMAGES
    image_column: str = ""
    """Of a Parquet file or a manifest; "" is found by its name or type."""
    text: str = ""
    """Where the text comes from that tasks read beside the image, as `workers.texts` has it; "":
    none of them reads any."""
    replay_of: str = ""
    """The run whose failed items alone are looked at again; "" looks at all of INPUT."""
    replay_codes: tuple[ErrorCode, ...] = ()
    """Only those that failed with one of these; empty is whatever the reason."""
    incremental: bool = False
    """Only what is owed is looked at: what no earlier run under OUTPUT has settled."""
    semantics: int = SEMANTICS
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not self.tasks:
            raise UsageError("a job needs a task")
        if [task.key() for task in self.tasks] != sorted({task.key() for task in self.tasks}):
            raise UsageError("the tasks of a job are named twice or out of order")
        for name in ("input", "output", "model_id", "model_digest", "quantization"):
            if not getattr(self, name):
                raise UsageError(f"a job needs its {name}")
            if not _is_utf8(getattr(self, name)):
                raise UsageError(f"{name} {getattr(self, name)!a} is not UTF-8")
        if self.quantization == "auto":
            raise UsageError("quantization 'auto' must be resolved before a job is planned")

    def meaning_id(self) -> str:
        """What a label of this job means: two labels with one meaning can be compared."""
        return _meaning_id(self)

    def input_digest(self, image: ImageRef) -> str:
        """The version of all that is looked at of `image`: its own, and its text's where that is a
        column of INPUT or lies in a file beside the image.
        """
        return self.looked_at(image) or image.input_digest

    def looked_at(self, image: ImageRef) -> str | None:
        """Likewise; None where it is the image's own."""
        version = image.sidecar if self.text == SIDECAR else None
        if self.text.startswith(TEXT_COLUMN):
            text = said_under(image.columns, self.text.removeprefix(TEXT_COLUMN))
            version = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{image.input_digest}{TEXT_VERSION}{version}" if version else None

    @property
    def lists_sidecars(self) -> bool:
        """Whether the listing of INPUT itself tells which texts lie beside its images; of those
        that a manifest names, each is asked about.
        """
        return self.text == SIDECAR and self.input_format == InputFormat.IMAGES

    def fingerprint(self) -> str:
        """Which job this is: the meaning, what of INPUT, OUTPUT and the rows' schema."""
        identity = {
            "meaning_id": self.meaning_id(),
            "input": self.input,
            "output": self.output,
            "schema_version": self.schema_version,
        }
        # These came later: a job that leaves them alone is called what it always was.
        later = {
            "input_format": "" if self.input_format == InputFormat.IMAGES else self.input_format,
            "image_column": self.image_column,
            "replay_of": self.replay_of,
            "replay_codes": sorted(self.replay_codes),
            "incremental": self.incremental,
            "task_versions": self._versions(),
        }
        given = {name: value for name, value in later.items() if value}
        return document.digest(identity | given)[:NAME_LENGTH]

    def _versions(self) -> list[int]:
        versions = [task.version for task in self.tasks]
        return versions if set(versions) != {1} else []

    def lineage(self) -> str:
        """What this job shares with its earlier and later versions: all of its fingerprint but
        SEMANTICS and the rows' schema.
        """
        tasks = tuple(replace(task, version=1) for task in self.tasks)
        return replace(self, tasks=tasks, semantics=0, schema_version=0).fingerprint()

    def to_json(self) -> dict[str, Any]:
        """The job as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The job that `to_json` wrote, whatever its `semantics` and `schema_version` are, and now
        or before jobs had all of these fields.

        Raises UsageError where a field is missing, unknown or out of range.
        """
        try:
            fields = dict(value)
            if "tasks" not in fields:  # a job had one task, which wrote, and could be no other
                names = ("prompt", "max_new_tokens")
                options = {name: fields.pop(name) for name in names}
                fields["tasks"] = [{"name": fields.pop("task"), "options": options}]
            fields["tasks"] = tuple(TaskSpec(**task) for task in fields["tasks"])
            preprocessing = dict(fields.pop("preprocessing"))
            preprocessing["mean"] = tuple(preprocessing["mean"])
            preprocessing["std"] = tuple(preprocessing["std"])
            fields["input_format"] = InputFormat(fields.get("input_format", InputFormat.IMAGES))
            fields["replay_codes"] = tuple(map(ErrorCode, fields.get("replay_codes", ())))
            return cls(preprocessing=Preprocessing(**preprocessing), **fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a job that this program knows: {error}") from error


@functools.lru_cache(maxsize=16)  # every row carries it, and a vocabulary may be long
def _meaning_id(job: JobSpec) -> str:
    meaning = {
        "model_digest": job.model_digest,
        "quantization": job.quantization,
        "preprocessing": asdict(job.preprocessing),
        "semantics": job.semantics,
    }
    return document.digest(meaning | _asked(job))[:NAME_LENGTH]


def _asked(job: JobSpec) -> dict[str, Any]:
    if [task.name for task in job.tasks] != ["caption"]:
        tasks = [{"name": task.name, "options": task.options} for task in job.tasks]
        return {"tasks": tasks, "text": job.text}
    # So it was when a job had this one task alone.
    options = dict(job.tasks[0].options)
    return {"task": "caption", "prompt": options.pop("prompt"), "options": options}


def _is_utf8(text: str) -> bool:
    """Whether `text` can be written; an argument of other bytes comes with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
