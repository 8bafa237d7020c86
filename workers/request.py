"""What a user asks for, in the user's words, made into a job that leaves nothing open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.asks import Write
from schemas.image import InputFormat
from schemas.job import JobSpec, Preprocessing, TaskSpec
from schemas.outcome import ErrorCode, UsageError
from schemas.rows import row_schema
from schemas.uri import canonical
from workers.model.description import Description, checkpoint_folder, describe
from workers.model.quantization import AUTO
from workers.model.room import require_room
from workers.source import format_of
from workers.tasks import TASKS, Item, tasks_of
from workers.texts import resolve_text

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Wish:
    """A task as asked for on a command line, of whatever model."""

    name: str
    """A key of `workers.tasks.TASKS`."""
    how: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of its `resolved`."""

    def on(self, checkpoint: Description) -> TaskSpec:
        """What it means for `checkpoint`. Raises PromptError, UsageError."""
        task = TASKS[self.name].resolved(checkpoint, **self.how)
        ask = task.ask(Item())
        new_tokens = ask.max_new_tokens if isinstance(ask, Write) else 0
        require_room(checkpoint, ask.prompt.template, new_tokens)
        return task.spec


@dataclass(frozen=True, slots=True)
class Request:
    """A labelling job as asked for on a command line."""

    input: str
    output: str
    tasks: tuple[Wish | TaskSpec, ...]
    """Those of an earlier job as that had them."""
    model: str
    """A shipped checkpoint's name, or a folder that every machine of the cluster has."""
    input_format: InputFormat | None = None
    """None: as INPUT's name ends; a folder holds images."""
    image_column: str = ""
    """Of Parquet files and manifests; "" is found by its name or type."""
    text: str | None = None
    """Where tasks find the text that they read beside an image: `column:NAME`, `sidecar`, `ocr`,
    `none`; None: where it usually is in such an INPUT. It is nothing to other tasks."""
    replay_of: str = ""
    """The run whose failed images alone are looked at again; "" looks at all of INPUT."""
    replay_codes: tuple[ErrorCode, ...] = ()
    """Only those that failed with one of these; empty is whatever the reason."""
    incremental: bool = False
    """Only what is owed is looked at (`workers.plan.owed`)."""
    quantization: str = AUTO
    """One of workers.model.quantization.QUANTIZATIONS, or `auto`: as checkpoint and device have it.
    """

    def jobs(self, device: str) -> dict[str, JobSpec]:
        """What it means on each device that `device` may come to: `auto` on all that can do it.

        Raises as `resolve`, where no device can.
        """
        if device != "auto":
            return {device: self.resolve(device)}
        jobs, refused = {}, []
        for one in DEVICES:
            try:
                jobs[one] = self.resolve(one)
            except UsageError as error:
                refused.append(error)
        if not jobs:
            raise refused[0]
        return jobs

    def resolve(self, device: str) -> JobSpec:
        """The job on `cpu` or `cuda`, its prompt, quantization and preprocessing frozen.

        Raises:
            CheckpointError: no such model, or a folder that is none.
            PromptError: a prompt that has no one place for the image.
            UsageError: a task cannot be had so, or two would fill one column; INPUT lies in OUTPUT,
                where nothing is looked at; INPUT is a compressed tar; a column is named of what has
                none; the model cannot be had as `quantization` there.
        """
        for name, place in (("INPUT", self.input), ("OUTPUT", self.output)):
            if not place.strip():
                raise UsageError(f"{name} is empty: name a folder, . for this one")
        input, output = canonical(self.input), canonical(self.output)
        if f"{input}/".startswith(f"{output}/"):
            raise UsageError(f"OUTPUT {output} holds INPUT: give the labels a folder of their own")
        kind = format_of(input, self.input_format)
        if self.image_column and kind in (InputFormat.IMAGES, InputFormat.WEBDATASET):
            raise UsageError(
                f"--image-column is for Parquet files and manifests, and {input} is read as {kind}"
            )
        checkpoint = describe(checkpoint_folder(self.model))
        config = checkpoint.config
        asked = [one.on(checkpoint) if isinstance(one, Wish) else one for one in self.tasks]
        job = JobSpec(
            input=input,
            output=output,
            tasks=tuple({task.key(): task for task in sorted(asked, key=TaskSpec.key)}.values()),
            model_id=checkpoint.name,
            model_digest=checkpoint.manifest.digest,
            quantization=checkpoint.quantization(self.quantization, device),
            preprocessing=Preprocessing(config.image_size, config.image_mean, config.image_std),
            input_format=kind,
            image_column=self.image_column,
            replay_of=self.replay_of,
            replay_codes=self.replay_codes,
            incremental=self.incremental,
        )
        tasks = tasks_of(job)
        row_schema([task.schema for task in tasks])
        if any(task.reads_text for task in tasks):
            return replace(job, text=resolve_text(self.text, kind))
        return job


@dataclass(frozen=True, slots=True)
class Options:
    """How a job is run; nothing here changes what a label means."""

    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: cuda where the cluster has a GPU."""
    replicas: int | None = None
    """None: as many as the cluster has room for."""
    cpus_per_replica: int = 1
    gpus_per_replica: float = 1
    """On cuda; several replicas share a GPU below 1."""
    batch_size: int | None = None
    shard_images: int | None = None
    drain_seconds: float = 25
    item_seconds: float = 60
    """What one image may take before it is given up."""
    new_run: bool = False
    most_images: int | None = None
    """Of a night: so many are looked at, and what is left is owed to the next one."""
    until: float | None = None
    """Likewise the moment at which it stops, as `time.monotonic` has it."""
