"""What the cluster has, and how many replicas that is."""

from __future__ import annotations

from collections.abc import Callable

import ray

from schemas.outcome import UsageError

Say = Callable[[str], None]


def device_for(asked: str, shared: bool, say: Say) -> str:
    """`cpu` or `cuda`. Whether another machine's GPU is of use, only that machine can tell.

    Raises:
        UsageError: cuda is asked for, and torch cannot use this machine's GPU.
    """
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    if asked == "cpu" or not has_gpu:
        return "cpu" if asked == "auto" else asked
    if shared or _torch_has_cuda():
        return "cuda"
    if asked == "cuda":
        raise UsageError("this machine has a GPU that its torch cannot use: --device cpu does not")
    say("this machine has a GPU that its torch cannot use; labelling on the CPU")
    return "cpu"


def _torch_has_cuda() -> bool:
    import torch  # seconds, so only where there is a GPU

    return torch.cuda.is_available()


def replicas_for(
    asked: int | None, cpus: int, gpus: float, shared: bool, say: Say
) -> Callable[[], int]:
    """How many replicas there should be, to be asked again while the cluster grows and shrinks.

    Raises:
        UsageError: this machine alone has no room for a single one.
    """
    room = room_for(cpus, gpus, shared)
    if not shared:
        if room < 1:
            has = ray.cluster_resources()
            raise UsageError(
                f"a replica asks for {in_words(cpus, gpus)}, this machine has "
                f"{in_words(has.get('CPU', 0), has.get('GPU', 0))}"
            )
        return lambda: min(asked or room, room)
    if asked is not None:
        return lambda: asked  # what is pending is what an autoscaler sees
    if room < 1:
        say(
            f"the cluster has no room yet for a replica, which asks for {in_words(cpus, gpus)}: "
            "one is asked for; --replicas asks for more, --device says on what"
        )
    return lambda: max(1, room_for(cpus, gpus, shared))


def room_for(cpus: int, gpus: float, shared: bool) -> int:
    """How many replicas fit on the machines, each on one; others keep a CPU of a shared cluster."""
    room, left = 0, 0.0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            fit = int(has.get("CPU", 0)) // cpus
            if gpus:
                fit = min(fit, _shares(has.get("GPU", 0), gpus))
            room += fit
            left += has.get("CPU", 0) - fit * cpus
    return max(0, room - (shared and left < 1))


def _shares(gpus: float, each: float) -> int:
    """How many replicas `gpus` hold; parts of a GPU are of one and the same."""
    if each >= 1:
        return int(gpus // each)
    return int(gpus) * int(1 / each + 1e-9)


def in_words(cpus: float, gpus: float) -> str:
    """`2 CPUs and 1 GPU`."""
    asked = [f"{cpus:g} CPU{'s' * (cpus != 1)}"]
    if gpus:
        asked.append(f"{gpus:g} GPU{'s' * (gpus != 1)}")
    return " and ".join(asked)
