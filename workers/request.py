"""What a user asks for, in the user's words, made into a job that leaves nothing open."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.image import InputFormat
from schemas.job import JobSpec, Preprocessing
from schemas.outcome import ErrorCode, UsageError
from schemas.uri import canonical
from workers.model.description import checkpoint_folder, describe
from workers.model.prompts import resolve_prompt
from workers.model.quantization import AUTO
from workers.source import format_of

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Request:
    """A labelling job as asked for on a command line."""

    input: str
    output: str
    task: str
    model: str
    """A shipped checkpoint's name, or a folder that every machine of the cluster has."""
    prompt: str | None = None
    """A question, or a whole prompt with `<ImageHere>`; None asks what the checkpoint asks."""
    input_format: InputFormat | None = None
    """None: as INPUT's name ends; a folder holds images."""
    image_column: str = ""
    """Of Parquet files and manifests; "" is found by its name or type."""
    replay_of: str = ""
    """The run whose failed images alone are looked at again; "" looks at all of INPUT."""
    replay_codes: tuple[ErrorCode, ...] = ()
    """Only those that failed with one of these; empty is whatever the reason."""
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
            UsageError: INPUT lies in OUTPUT, where nothing is looked at; INPUT is a compressed tar;
                a column is named of what has none; the model cannot be had as `quantization` there.
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
        config, generation = checkpoint.config, checkpoint.generation
        question = generation.caption_question if self.prompt is None else self.prompt
        return JobSpec(
            input=input,
            output=output,
            task=self.task,
            prompt=resolve_prompt(question, generation.prompt_template),
            model_id=checkpoint.name,
            model_digest=checkpoint.manifest.digest,
            quantization=checkpoint.quantization(self.quantization, device),
            preprocessing=Preprocessing(config.image_size, config.image_mean, config.image_std),
            max_new_tokens=generation.max_new_tokens,
            input_format=kind,
            image_column=self.image_column,
            replay_of=self.replay_of,
            replay_codes=self.replay_codes,
        )


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
