"""calibration.json: what makes a checkpoint's probabilities mean what they say.

It lies in the checkpoint folder beside the manifest, which does not list it: it is fitted after the
checkpoint was made, and names the model that it is for. A folder that is quantized or trained anew
is another model and starts without one.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.outcome import CheckpointError, UsageError

CALIBRATION = "calibration.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Fit:
    """A temperature, and how it was found."""

    temperature: float
    """Log-odds are divided by it; above 0, and 1 changes nothing."""
    items: int
    loss_before: float
    loss_after: float
    """Mean negative log-likelihood at a temperature of 1 and at this one, nats an item."""
    annotations: str
    """The name of the file that it was fitted to."""
    annotations_sha256: str
    quantization: str
    prompt: str


@dataclass(frozen=True)
class Calibration:
    """The value of calibration.json; None where nothing was fitted."""

    model_digest: str
    hateful: Fit | None = None

    @property
    def hateful_temperature(self) -> float:
        return self.hateful.temperature if self.hateful else 1.0


def read_calibration(folder: Path, digest: str) -> Calibration:
    """What was fitted for the checkpoint in `folder`, whose model digest is `digest`.

    A folder without the file has a temperature of 1.

    Raises:
        CheckpointError: the file cannot be read, is of another format, or is another model's.
    """
    path = folder / CALIBRATION
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Calibration(digest)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} is of format {version}, this program reads {FORMAT_VERSION}")
    try:
        found = Calibration(str(values["model_digest"]), _fit(values["hateful"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a calibration of ours: {error!r}") from error
    if found.model_digest != digest:
        raise CheckpointError(
            f"{path} was fitted for another model ({found.model_digest:.12}…, this one is "
            f"{digest:.12}…): delete it, or fit it anew with jobs/evaluate.py --fit-calibration"
        )
    return found


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Put calibration.json into a checkpoint folder, whole or not at all; where it lies.

    Raises:
        UsageError: it cannot be written.
    """
    path = folder / CALIBRATION
    values = {"format_version": FORMAT_VERSION} | asdict(calibration)
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix=f".{CALIBRATION}.", delete=False
        ) as new:
            try:
                new.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
                new.flush()
                os.fchmod(new.fileno(), 0o644)  # such files are made for their owner alone
                os.replace(new.name, path)
            except BaseException:
                os.unlink(new.name)
                raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error
    return path


def _fit(values: Mapping[str, Any] | None) -> Fit | None:
    if values is None:
        return None
    temperature = values["temperature"]
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ValueError(f"temperature {temperature!r} is no number above 0")
    return Fit(**values)
