"""A run's story as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schemas.uri import is_local
from workers.inspection import State
from workers.progress import duration
from workers.report.cards import shortened, visible
from workers.report.charts import Chart, histogram, speed
from workers.report.story import Story
from workers.report.words import WHY, period, state_in_words
from workers.tasks import Exhibit

HERE = Path(__file__).resolve().parent
MOST_FREQUENT = 15
"""Words of a list."""
LONGEST_LIST = 20
"""Of the job's specification: a vocabulary may have a hundred thousand words."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the page says beside the run's own files: how people go on from it."""

    again: str
    """The command that does the same, or goes on with it."""
    replays: Mapping[str, str] = field(default_factory=dict)
    """By error code the command that looks again at what failed so."""
    view: str = ""
    """The command that tells how to read the rows of a run that is pruned."""
    skipped: Sequence[tuple[str, int]] = ()
    """What was listed and not looked at: kinds of files, with their counts."""


@dataclass(frozen=True, slots=True)
class Frequent:
    """The most frequent words of a column, the most frequent first."""

    column: str
    words: Sequence[tuple[str, int]]
    """With the number of images that have each."""

    @property
    def most(self) -> int:
        return self.words[0][1]


def render(story: Story, around: Around) -> str:
    """The page. Whatever comes from images, names and models is escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": "{:,}".format, "plain": shortened, "visible": visible}
    style = (HERE / "page.css").read_text(encoding="utf-8")
    # The browser applies no style but this one, known by its digest, and loads nothing.
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        story=story,
        seen=story.seen,
        status=story.status,
        complete=story.status.state in (State.FINISHED, State.PRUNED),
        job=story.job,
        around=around,
        style=style,
        style_digest=digest,
        head=_head(story),
        first_text=next((one.text for one in _exhibits(story) if one.text), ""),
        scores={one.score: one.verdict for one in _exhibits(story) if one.score},
        charts=_charts(story),
        frequent=_frequent(story),
        why=WHY,
        made=_made(story),
    )


def _exhibits(story: Story) -> list[Exhibit]:
    return [task.exhibit for task in story.tasks]


def _head(story: Story) -> dict[str, Any]:
    pace, status = story.seen.tally.pace, story.status
    first, last = pace.first, pace.last
    seconds = 0.0 if first is None or last is None else last - first
    return {
        "name": _name(story.job.input),
        "state": state_in_words(status),
        "when": None if first is None or last is None else period(first, last),
        "lasted": duration(seconds),
        "a_minute": pace.images / _share(story) / seconds * 60 if seconds >= 1 else None,
        "listed": None if status.images is None else status.images + sum(status.skipped.values()),
        "gone": sum(page.items for page in story.plan.gone) if story.plan else 0,
        "planned_on": story.plan.device if story.plan else "",
    }


def _name(place: str) -> str:
    """INPUT's name: of a path its end, of a bucket's URI all."""
    return "/".join(place.split("/")[-2:]) if is_local(place) else place


def _share(story: Story) -> float:
    """Which share of the rows that there are was read, above 0 and up to 1."""
    return min(story.seen.tally.rows / story.rows, 1) if story.seen.tally.rows else 1.0


def _charts(story: Story) -> list[Chart]:
    tally = story.seen.tally
    charts = []
    for show in _exhibits(story):
        for column, title, threshold in (
            (show.score, show.score, show.threshold),
            (show.words, f"best score of {show.words}", None),
        ):
            if column and (counts := tally.scores[column].tolist()) and sum(counts):
                charts.append(histogram(title, counts, threshold))
    pace = speed(tally.pace, _share(story))
    return [*charts, pace] if pace else charts


def _frequent(story: Story) -> list[Frequent]:
    found = [
        Frequent(show.words, story.seen.tally.words[show.words].most_common(MOST_FREQUENT))
        for show in _exhibits(story)
        if show.words
    ]
    return [one for one in found if one.words]


def _made(story: Story) -> dict[str, Any]:
    """What the labels came from, by name."""
    spec, job, plan = story.spec, story.job, story.plan
    named = {
        "run": spec.run_id,
        "claimed": spec.created_at,
        "meaning_id": job.meaning_id(),
        "fingerprint": job.fingerprint(),
        "model": f"{job.model_id}, digest {job.model_digest}",
        "precision": job.quantization,
        "device": plan and f"{plan.device}, {plan.batch_size} images a batch",
        "plan": plan and f"{plan.shards:,} shards, digest {plan.digest}",
        "result": story.result_digest and f"digest {story.result_digest}",
        "tasks": ", ".join(task.schema.mark for task in story.tasks),
        "rows": f"schema version {job.schema_version}, semantics {job.semantics}",
        "program": f"code version {spec.code_version}",
    }
    whole = json.dumps(_short_lists(job.to_json()), indent=1, ensure_ascii=False, sort_keys=True)
    return {"named": {name: said for name, said in named.items() if said}, "job": whole}


def _short_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short_lists(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        some = [_short_lists(one) for one in value[:LONGEST_LIST]]
        more = len(value) - LONGEST_LIST
        return [*some, f"… and {more:,} more"] if more > 0 else some
    return value
