"""What one run is asked to do, and the names that follow from it."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from schemas import document
from schemas.image import InputFormat
from schemas.outcome import ErrorCode, PromptError, UsageError
from schemas.rows import SCHEMA_VERSION, TASK_COLUMNS

SEMANTICS = 1
"""Raised whenever the same inputs would be given other labels by changed code."""

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
class JobSpec:
    """A job as planned: everything is resolved, nothing says `auto`.

    `input` and `output` are canonical (`schemas.uri.canonical`). The shape of the cluster is not
    part of it: the same job on other machines is the same job.
    """

    input: str
    output: str
    task: str
    prompt: str
    model_id: str
    model_digest: str
    quantization: str
    preprocessing: Preprocessing
    max_new_tokens: int
    input_format: InputFormat = InputFormat.IMAGES
    image_column: str = ""
    """Of a Parquet file or a manifest; "" is found by its name or type."""
    replay_of: str = ""
    """The run whose failed items alone are looked at again; "" looks at all of INPUT."""
    replay_codes: tuple[ErrorCode, ...] = ()
    """Only those that failed with one of these; empty is whatever the reason."""
    semantics: int = SEMANTICS
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.task not in TASK_COLUMNS:
            raise UsageError(f"task {self.task!r}: one of {', '.join(sorted(TASK_COLUMNS))}")
        if self.prompt.count(IMAGE_PLACEHOLDER) != 1:
            raise PromptError(f"the prompt must hold exactly one {IMAGE_PLACEHOLDER}")
        if self.max_new_tokens < 1:
            raise UsageError(f"{self.max_new_tokens} new tokens: at least 1")
        for name in ("input", "output", "model_id", "model_digest", "quantization"):
            if not getattr(self, name):
                raise UsageError(f"a job needs its {name}")
            if not _is_utf8(getattr(self, name)):
                raise UsageError(f"{name} {getattr(self, name)!a} is not UTF-8")
        if not _is_utf8(self.prompt):
            raise PromptError(f"the prompt {self.prompt!a} is not UTF-8")
        if self.quantization == "auto":
            raise UsageError("quantization 'auto' must be resolved before a job is planned")

    def meaning_id(self) -> str:
        """What a label of this job means: two labels with one meaning can be compared."""
        meaning = {
            "model_digest": self.model_digest,
            "quantization": self.quantization,
            "prompt": self.prompt,
            "preprocessing": asdict(self.preprocessing),
            "task": self.task,
            "options": {"max_new_tokens": self.max_new_tokens},
            "semantics": self.semantics,
        }
        return document.digest(meaning)[:NAME_LENGTH]

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
        }
        given = {name: value for name, value in later.items() if value}
        return document.digest(identity | given)[:NAME_LENGTH]

    def lineage(self) -> str:
        """What this job shares with its earlier and later versions: all of its fingerprint but
        SEMANTICS and the rows' schema.
        """
        return replace(self, semantics=0, schema_version=0).fingerprint()

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
            preprocessing = dict(fields.pop("preprocessing"))
            preprocessing["mean"] = tuple(preprocessing["mean"])
            preprocessing["std"] = tuple(preprocessing["std"])
            fields["input_format"] = InputFormat(fields.get("input_format", InputFormat.IMAGES))
            fields["replay_codes"] = tuple(map(ErrorCode, fields.get("replay_codes", ())))
            return cls(preprocessing=Preprocessing(**preprocessing), **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a job that this program knows: {error}") from error


def _is_utf8(text: str) -> bool:
    """Whether `text` can be written; an argument of other bytes comes with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
