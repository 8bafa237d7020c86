"""What is seen of a run while it goes on, on a real terminal and in a log."""

import io
import json
from datetime import datetime

import pytest

from jobs.display import SECONDS_BETWEEN_LINES, Lines, as_json, display
from schemas.outcome import StoppedError
from tests.terminals import Terminal, terminal
from workers.progress import Standing


def standing(images: int, **changes: object) -> Standing:
    """A run of 4,000 images in 40 shards."""
    values = {
        "run_id": "00000003",
        "images": images,
        "of": 4000,
        "before": 0,
        "labelled": images,
        "failed": 0,
        "failed_by_code": {},
        "images_per_second": 10.0,
        "shards": images // 100,
        "shards_of": 40,
        "replicas": 3,
        "replicas_wanted": 4,
        "crashes": 0,
        "ended": False,
    }
    return Standing(**(values | changes))


FAILURES = {"labelled": 998, "failed": 2, "failed_by_code": {"truncated": 1, "not_found": 1}}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wish of this machine's counts."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LINES", "24")


def seen(monkeypatch: pytest.MonkeyPatch, columns: int, end: BaseException | None) -> Terminal:
    """A terminal on which a run said something, was drawn three times, and ended."""
    monkeypatch.setenv("COLUMNS", str(columns))
    with terminal(columns) as ours:
        try:
            with display(ours.stream) as shown:
                shown.say("run 00000003: 4,000 images in 40 shards")
                shown.show(standing(0, images_per_second=0.0, replicas=0))
                shown.show(standing(500))
                shown.say("[red]a replica was lost[/red] in shard 7, which is owed again")
                shown.show(standing(1000, **FAILURES))
                if end:
                    raise end
                shown.show(standing(4000, **FAILURES, ended=True))
        except type(end or StopIteration):
            pass
        ours.stream.write("the next words\n")
    return ours


def test_messages_stand_above_one_drawing_that_is_drawn_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A terminal shows each message once, then how far it is, once; then what comes after."""
    lines = seen(monkeypatch, 80, None).lines()
    bar, count = lines[2].rsplit("━ ", 1)
    assert lines[:2] == [
        "run 00000003: 4,000 images in 40 shards",
        "[red]a replica was lost[/red] in shard 7, which is owed again",
    ]
    assert (set(bar), count) == ({"━"}, "4,000 of 4,000 images")
    assert lines[3:] == [
        "10.0 images/s, 40 of 40 shards",
        "2 failed: 1 not_found, 1 truncated",
        "the next words",
    ]


@pytest.mark.parametrize("end", [ValueError(), KeyboardInterrupt(), StoppedError("drained")])
def test_whatever_ends_it_leaves_a_clean_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    """40 columns are enough, and the cursor stands, to be seen, below what was drawn last."""
    ours = seen(monkeypatch, 40, end)
    assert "\x1b[?25l" in ours.written
    assert not ours.cursor_is_hidden
    lines = ours.lines()
    assert "".join(lines[1:3]) == "[red]a replica was lost[/red] in shard 7, which is owed again"
    assert lines[3].endswith("━ 1,000 of 4,000 images")
    assert lines[4:] == [
        "10.0 images/s, 5 min left, 3 of 4",
        "replicas, 10 of 40 shards",
        "2 failed: 1 not_found, 1 truncated",
        "the next words",
    ]


def test_colours_and_drawings_are_left_away_where_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NO_COLOR is drawn without colours; TERM=dumb gets plain lines and not one escape."""
    assert seen(monkeypatch, 80, None).colours
    monkeypatch.setenv("NO_COLOR", "1")
    uncoloured = seen(monkeypatch, 80, None)
    assert (uncoloured.colours, len(uncoloured.lines())) == (set(), 6)
    monkeypatch.setenv("TERM", "dumb")
    assert seen(monkeypatch, 80, None).written.splitlines() == [
        "run 00000003: 4,000 images in 40 shards",
        "[red]a replica was lost[/red] in shard 7, which is owed again",
        "4,000 of 4,000 images, 10.0 images/s, 40 of 40 shards, 2 failed",
        "the next words",
    ]


def test_a_log_gets_a_json_line_now_and_then_and_one_at_the_end() -> None:
    """Messages stay as they are; the last line comes however short the run was."""
    log, now = io.StringIO(), 0.0
    lines = Lines(log, as_json, clock=lambda: now)
    for number in range(1, 101):
        now += SECONDS_BETWEEN_LINES / 10
        lines.show(standing(10 * number))
    lines.say("stopping")
    lines.show(standing(1010, ended=True))
    written = log.getvalue().splitlines()
    assert written[-2] == "stopping"
    told = [json.loads(line) for line in written if line.startswith("{")]
    assert [one["images"] for one in told] == [*range(100, 1001, 100), 1010]
    assert [one["ended"] for one in told] == [False] * 10 + [True]


def test_a_json_line_has_all_that_is_known() -> None:
    """Programs find every count, what failed by code, and a time that any reader understands."""
    told = json.loads(as_json(standing(1000, **FAILURES)))
    at = datetime.fromisoformat(told.pop("at"))
    assert at.tzinfo is not None
    assert told == {
        "event": "progress",
        "run": "00000003",
        "images": 1000,
        "of": 4000,
        "before": 0,
        "labelled": 998,
        "failed": 2,
        "failed_by_code": {"truncated": 1, "not_found": 1},
        "images_per_second": 10.0,
        "seconds_left": 300.0,
        "shards": 10,
        "shards_of": 40,
        "replicas": 3,
        "replicas_wanted": 4,
        "ended": False,
    }
    assert json.loads(as_json(standing(0, images_per_second=0.0)))["seconds_left"] is None


def test_a_run_of_nothing_is_drawn_as_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night on which nothing is owed has 0 images, and its bar is full."""
    monkeypatch.setenv("COLUMNS", "60")
    with terminal(60) as ours, display(ours.stream) as shown:
        shown.show(standing(0, of=0, shards_of=0, images_per_second=0.0, ended=True))
    assert ours.lines()[0].endswith("━ 0 of 0 images")
    assert ours.colours == {"32"}


def test_a_collection_of_a_night_is_told_by_its_name() -> None:
    """Whoever reads the log of a night knows which collection a line is of."""
    log = io.StringIO()
    with display(log, "shop") as shown:
        shown.say("run 00000003: 4,000 images in 40 shards")
        shown.show(standing(1000, ended=True))
    message, told = log.getvalue().splitlines()
    assert message == "nightly: shop: run 00000003: 4,000 images in 40 shards"
    assert json.loads(told)["collection"] == "shop"
