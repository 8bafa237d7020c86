"""One suite on one checkpoint: what is asked, and what the rows say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from schemas.job import TaskSpec
from schemas.outcome import UsageError
from workers.evaluation.metrics import Bin
from workers.evaluation.reliability import reliability_table
from workers.evaluation.report import answers_record, published_table, scores_record, scores_table
from workers.evaluation.scores import Score
from workers.evaluation.suites import SUITES, Asking
from workers.evaluation.suites.hm import HM, MemeAnswer, reliability
from workers.evaluation.temperature import fit_temperature, loss, require_both_kinds
from workers.model.calibration import Calibration, Fit, read_calibration, write_calibration


@dataclass(frozen=True)
class Evaluation:
    """A suite's items, and how the checkpoint is asked about them."""

    suite: str
    """A key of SUITES."""
    annotations: Path
    items: Sequence[Any]
    asking: Asking
    fit: bool = False
    """Of hm: whether the temperature is fitted to these items and kept with the checkpoint."""

    def require(self) -> None:
        """What can be known before any picture is looked at.

        Raises:
            UsageError: a temperature cannot be fitted to these items.
            CheckpointError: the calibration in the checkpoint's folder is another model's.
        """
        if self.fit:
            require_both_kinds(np.array([item.hateful for item in self.items]))
        elif self.suite == HM.name:
            self._kept()

    def tasks(self) -> tuple[TaskSpec, ...]:
        return SUITES[self.suite].tasks(self.asking)

    def outcome(self, rows: Sequence[Mapping[str, Any] | None], quantization: str) -> Outcome:
        """The scores of the rows, one an item; None is one that failed.

        A temperature that is to be fitted is, and is written.

        Raises:
            UsageError: it cannot be fitted, or not be written.
        """
        suite = SUITES[self.suite]
        read = suite.reader(self.asking.checkpoint)
        answers = [None if row is None else read(row) for row in rows]
        if self.suite != HM.name:
            return Outcome(self, answers, suite.score(self.items, answers))
        calibration = self._fitted(answers, quantization) if self.fit else self._kept()
        temperature = calibration.hateful_temperature
        answers = [None if answer is None else answer.at(temperature) for answer in answers]
        bins = reliability(self.items, answers)
        return Outcome(self, answers, suite.score(self.items, answers), calibration, bins)

    def _kept(self) -> Calibration:
        checkpoint = self.asking.checkpoint
        return read_calibration(checkpoint.folder, checkpoint.manifest.digest)

    def _fitted(self, answers: Sequence[MemeAnswer | None], quantization: str) -> Calibration:
        given = [(item, of) for item, of in zip(self.items, answers, strict=True) if of]
        log_odds = np.array([answer.log_odds for _, answer in given])
        hateful = np.array([item.hateful for item, _ in given], dtype=np.bool_)
        temperature = fit_temperature(log_odds, hateful)
        fit = Fit(
            temperature=temperature,
            items=len(given),
            loss_before=loss(log_odds, hateful, 1.0),
            loss_after=loss(log_odds, hateful, temperature),
            annotations=self.annotations.name,
            annotations_sha256=digest_of(self.annotations),
            quantization=quantization,
            prompt=str(self.tasks()[0].options["prompt"]),
        )
        checkpoint = self.asking.checkpoint
        calibration = Calibration(checkpoint.manifest.digest, fit)
        write_calibration(checkpoint.folder, calibration)
        return calibration


@dataclass(frozen=True)
class Outcome:
    """What came of an evaluation."""

    evaluation: Evaluation
    answers: Sequence[Any]
    scores: Sequence[Score]
    calibration: Calibration | None = None
    """Of hm: whose temperature the calibrated figures have."""
    reliability: Mapping[str, Sequence[Bin]] = field(default_factory=dict)
    """Of hm."""

    def text(self, model: str) -> str:
        """For people: scores, reliability, and the paper's table with `model` in it."""
        column = SUITES[self.evaluation.suite].column
        blocks = [scores_table(self.scores)]
        if self.calibration is not None:
            blocks += [self._calibrated(self.calibration)]
            shown = ("raw", "calibrated") if self.calibration.hateful else ("raw",)
            blocks += [reliability_table(self.reliability[name], name) for name in shown]
        if column:
            blocks += [published_table(column, model, self.scores)]
        return "\n\n".join(blocks)

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        fit = self.calibration and self.calibration.hateful
        return {
            "suite": self.evaluation.suite,
            "template": self.evaluation.asking.template,
            "scores": scores_record(self.scores),
            "temperature": fit.temperature if fit else None,
            "answers": answers_record(self.evaluation.items, self.answers, self.scores),
        }

    def _calibrated(self, calibration: Calibration) -> str:
        fit = calibration.hateful
        if fit is None:
            return "Nothing is calibrated yet: --fit-calibration does it, on memes kept for that."
        own = fit.annotations_sha256 == digest_of(self.evaluation.annotations)
        these = "these very memes, whose figures flatter it" if own else fit.annotations
        return f"Calibrated: temperature {fit.temperature:.3f}, fitted to {these}."


def digest_of(file: Path) -> str:
    """Hex SHA-256.

    Raises:
        UsageError: the file cannot be read any more.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error}") from error
