"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.comparison.question import cores

PACKAGES = ("torch", "transformers", "ray")
CPUS = Path("/proc/cpuinfo")


def describe_machine(device: str) -> str:
    """Processor, cores, memory, GPU if it is the device, versions, in one line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    what = [f"{_processor()}, {cores()} cores, {memory:.0f} GB"]
    if device == "cuda":
        import torch

        what.append(torch.cuda.get_device_name())
    what += [f"Python {platform.python_version()}"]
    what += [f"{package} {version(package)}" for package in PACKAGES]
    return ", ".join(what)


def _processor() -> str:
    if CPUS.exists():
        for line in CPUS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
