"""A comparison as records, and the records as tables in Markdown.

The tables are made of nothing but the records, which `--json` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from statistics import mean, median
from typing import Any

from benchmarks.comparison.limit import BANDWIDTH, asked_of, limits
from benchmarks.comparison.measurement import Measurement
from benchmarks.comparison.question import JOB, LOOKS, PLAIN, RAY_DATA, REPLICA, Question, cores
from benchmarks.comparison.rounds import Comparison
from benchmarks.comparison.work import phases

Record = dict[str, Any]
FIGURES = (
    "images_per_second",
    "images_per_second_in_all",
    "seconds_to_first",
    "seconds_to_load",
    "peak_bytes",
)
NOTHING = "–"


def records(comparison: Comparison, machine: str, command: str) -> Record:
    """Everything that was measured; figures are the median, least and most of all rounds."""
    question = comparison.question
    limit = _limit(comparison)
    systems = [
        {
            "system": system,
            "how": _how(system, question),
            **{name: _figure(rounds, name) for name in FIGURES},
            "share_of_limit": _share(limit, rounds) if system == REPLICA else None,
            "times_captions": _times_captions(comparison, system) if system in LOOKS else None,
            "rounds": [asdict(one) for one in rounds],
        }
        for system, rounds in comparison.measured.items()
    ]
    return {
        "machine": machine,
        "command": command,
        "model": question.checkpoint.name,
        "image_size": question.checkpoint.config.image_size,
        "images": len(question.paths),
        "systems": systems,
        "limit": limit,
    }


def tables(record: Record) -> str:
    """What is printed: machine and command, the systems, and the limit's phases if it is known."""
    heading = (
        f"`{record['command']}`\n\n{record['machine']}. Model {record['model']} at "
        f"{record['image_size']} px, {record['images']} images; median of "
        f"{len(record['systems'][0]['rounds'])} rounds (least to most)."
    )
    return "\n\n".join(
        filter(None, (heading, _systems(record["systems"]), _phases(record["limit"])))
    )


def _how(system: str, question: Question) -> str:
    threads = f"{cores()} threads"
    ours = f"{question.quantization}, batches of {question.batch_size}"
    theirs = f"bf16, batches of {question.plain_batch}"
    if system in LOOKS:
        return f"{LOOKS[system]}, as replica"
    return {
        REPLICA: f"{ours}, {threads}",
        PLAIN: f"{theirs}, {threads}",
        JOB: f"{ours}, {question.replicas} × {question.cpus_per_replica} threads",
        RAY_DATA: f"{theirs}, {question.actors} × {question.threads_per_actor} threads",
    }[system]


def _figure(rounds: Sequence[Measurement], name: str) -> Record | None:
    return _spread([value for one in rounds if (value := getattr(one, name)) is not None])


def _spread(values: Sequence[float]) -> Record | None:
    if not values:
        return None
    return {"median": median(values), "least": min(values), "most": max(values)}


def _limit(comparison: Comparison) -> Record | None:
    if not comparison.rates:
        return None
    question, rates = comparison.question, comparison.rates
    new_tokens = mean(one.new_tokens or 0 for one in comparison.measured[REPLICA])
    asked = asked_of(question, new_tokens)
    work = phases(question.checkpoint.config, question.quantization, question.device, asked)
    of_phases = limits(work, rates)
    seconds = sum(one.seconds for one in of_phases)
    return {
        "seconds_an_image": seconds,
        "images_per_second": 1 / seconds,
        "rates": rates,
        "asked": asdict(asked),
        "phases": [asdict(one) | {"seconds": one.seconds} for one in of_phases],
    }


def _share(limit: Record | None, rounds: Sequence[Measurement]) -> float | None:
    pace = _figure(rounds, "images_per_second")
    return limit["seconds_an_image"] * pace["median"] if limit and pace else None


def _times_captions(comparison: Comparison, look: str) -> Record | None:
    """An image's time, in that of the captions that the replica wrote in the same round."""
    rounds = zip(comparison.measured.get(REPLICA, ()), comparison.measured[look], strict=False)
    return _spread(
        [
            captions.images_per_second / one.images_per_second
            for captions, one in rounds
            if captions.images_per_second and one.images_per_second
        ]
    )


def _systems(systems: Sequence[Record]) -> str:
    plain = next((one for one in systems if one["system"] == PLAIN), None)

    def times(system: Record) -> str:
        ours, theirs = system["images_per_second"], plain and plain["images_per_second"]
        if system["system"] in LOOKS or not (ours and theirs):
            return NOTHING
        return f"{ours['median'] / theirs['median']:.2f}"

    header = ["system", "how", "images/s", "× plain", "images/s in all", "s to first", "s to load",
              "peak GB", "of the limit"]  # fmt: skip
    rows = [
        [
            system["system"],
            system["how"],
            _cell(system["images_per_second"]),
            times(system),
            _cell(system["images_per_second_in_all"]),
            _cell(system["seconds_to_first"]),
            _cell(system["seconds_to_load"]),
            _cell(system["peak_bytes"], lambda value: f"{value / 1e9:.2f}"),
            NOTHING if system["share_of_limit"] is None else f"{system['share_of_limit']:.0%}",
        ]
        for system in systems
    ]
    if any(system["times_captions"] for system in systems):
        header.append("× the time of captions")
        for row, system in zip(rows, systems, strict=True):
            row.append(_cell(system["times_captions"]))
    return _table(header, rows)


def _phases(limit: Record | None) -> str:
    if limit is None:
        return ""
    rates = limit["rates"]
    said = ", ".join(
        f"{kind} {rate / 1e9:,.0f}" for kind, rate in rates.items() if kind != BANDWIDTH
    )
    heading = (
        f"The limit is {_number(limit['images_per_second'])} images/s, at the best rates of this "
        f"run in GFLOP/s: {said}; copying {rates[BANDWIDTH] / 1e9:.1f} GB/s; "
        f"{limit['asked']['prompt']} positions of prompt, {limit['asked']['new_tokens']:.1f} new "
        "tokens."
    )
    rows = [
        (
            one["phase"]["name"],
            one["phase"]["kind"],
            f"{one['phase']['flops'] / 1e9:.2f}",
            f"{one['phase']['weight_bytes'] / 1e6:.1f}",
            f"{one['flops_seconds'] * 1e3:.2f}",
            f"{one['bytes_seconds'] * 1e3:.2f}",
            f"{one['seconds'] / limit['seconds_an_image']:.1%}",
        )
        for one in limit["phases"]
    ]
    header = (
        "an image",
        "products",
        "GFLOP",
        "MB",
        "ms of products",
        "ms of reading",
        "of the limit",
    )
    return f"{heading}\n\n{_table(header, rows)}"


def _cell(figure: Record | None, show: Callable[[float], str] | None = None) -> str:
    if figure is None:
        return NOTHING
    show = show or _number
    said = show(figure["median"])
    if figure["least"] == figure["most"]:
        return said
    return f"{said} ({show(figure['least'])} to {show(figure['most'])})"


def _number(value: float) -> str:
    """Three digits that count."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
