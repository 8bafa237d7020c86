"""What a user asks for, in the user's words, made into a job that leaves nothing open."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.job import JobSpec, Preprocessing
from schemas.outcome import UsageError
from schemas.uri import canonical
from workers.model.description import checkpoint_folder, describe
from workers.model.prompts import resolve_prompt


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

    def resolve(self) -> JobSpec:
        """The job, its prompt, quantization and preprocessing frozen.

        Raises:
            CheckpointError: no such model, or a folder that is none.
            PromptError: a prompt that has no one place for the image.
            UsageError: INPUT lies in OUTPUT, where nothing is looked at.
        """
        input, output = canonical(self.input), canonical(self.output)
        if f"{input}/".startswith(f"{output}/"):
            raise UsageError(f"OUTPUT {output} holds INPUT: give the labels a folder of their own")
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
            quantization=checkpoint.manifest.quantization,
            preprocessing=Preprocessing(config.image_size, config.image_mean, config.image_std),
            max_new_tokens=generation.max_new_tokens,
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
    new_run: bool = False
