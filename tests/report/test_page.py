"""The report as HTML: what it holds, and that nothing in it can do anything."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from jobs import report
from jobs.again import typed
from schemas.image import ImageRef
from schemas.outcome import ErrorCode
from tests.chromium import chromium, find_chromium
from tests.pictures import picture
from tests.report.labelled import answers, finished
from tests.report.markup import Element, parsed
from tests.runs import png
from workers.plan import Run
from workers.report import parts
from workers.report.pictures import LARGEST
from workers.report.sampling import PICTURES
from workers.report.tally import EXAMPLES, HIGHEST
from workers.report.words import WHY

EVIL = (
    "<script>document.title='evil'</script><img src=x onerror=\"alert(1)\">'\"\x00\u202e{{ 7*7 }}"
)
IMAGES = 20
FAILED = {"gone.png": ErrorCode.NOT_FOUND, "cut.png": ErrorCode.TRUNCATED}


def evil(image: ImageRef, number: int) -> dict[str, object]:
    """Answers of which everything that is text tries to be more."""
    values = answers(image, number)
    values["tags"] = [{"tag": EVIL.replace("\x00", ""), "score": 0.9}]
    return {k: EVIL.replace("\x00", "\x01") if type(v) is str else v for k, v in values.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run of all tasks, all of its texts and a name hostile; two images failed, of one the
    picture can still be seen.
    """
    folder = tmp_path_factory.mktemp("evil")
    (folder / "in").mkdir()
    names = [f"{number:02d}.png" for number in range(IMAGES)]
    for number, name in enumerate([*names, "cut.png", "<img src=x onerror=alert(1)>.png"]):
        (folder / "in" / name).write_bytes(picture(number))
    (folder / "in" / "gone.png").write_bytes(b"")
    (folder / "in" / "notes.txt").write_text("no image")
    return finished(str(folder), answers=evil, failing=FAILED)[0]


@pytest.fixture(scope="module")
def page(run: Run) -> Path:
    """Its report."""
    assert report.main([run.output]) == 0
    return Path(run.output, "report.html")


@pytest.fixture(scope="module")
def html(page: Path) -> Element:
    return parsed(page.read_text(encoding="utf-8"))


def test_nothing_in_the_page_runs_or_loads(page: Path, html: Element) -> None:
    """No script, no style but the one that the policy names, no address, no handler: every picture
    is data, and all that was written by others is text.
    """
    assert not html.all("script") and not html.all("link") and not html.all("iframe")
    for element in html.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on") and name != "style", element
            if name in ("src", "href", "action", "data", "srcset"):
                assert value.startswith(("data:image/webp;base64,", "#")), value
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?://", text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text)
    (policy,) = html.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy.attributes["content"]
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy.attributes["content"]
    assert "49" not in html.all("article", class_="card")[0].text  # no template of theirs is run


def test_hostile_text_is_shown_as_it_is(html: Element) -> None:
    """Captions, tags, answers, a meme's text and a file's name, letter for letter."""
    shown = EVIL.replace("\x00", "\N{REPLACEMENT CHARACTER}").replace("\u202e", "\ufffd")
    card = html.all("article", class_="card")[1]
    assert card.all("p", class_="main")[0].text == shown
    assert shown in card.all("p", class_="said")[0].text
    assert card.all("blockquote")[0].text == shown
    assert "<script>" in card.all("li")[0].text
    names = [one.text for one in html.all("p", class_="name")]
    assert any(name.startswith("<img src=x onerror=alert(1)>.png") for name in names)


def test_counts_add_up(html: Element) -> None:
    """Listed = labelled + failed + what was not looked at, in words."""
    (table,) = html.all("table", class_="counts")
    rows = {row.all("th")[0].text: int(row.all("td")[0].text) for row in table.all("tr")}
    total = rows.pop("listed in all")
    assert rows == {
        "labelled": IMAGES + 1,
        "failed": 2,
        "files without an image's extension": 1,
    }
    assert total == sum(rows.values())
    assert "21 of 23 images labelled, 2 failed." in html.text


def test_every_picture_has_its_labels(html: Element) -> None:
    """A card a labelled image in the plan's order, its picture with an alternative text; a
    histogram of each score with its threshold, the words, and speed over time.
    """
    sample = html.at("pictures")
    cards = sample.all("article", class_="card")
    assert len(cards) == IMAGES + 1
    names = [card.all("p", class_="name")[0].text for card in cards]
    assert names == sorted(names)
    for card in cards:
        (image,) = card.all("img")
        assert image.attributes["alt"]
        assert card.all("ul", class_="chips") and card.all("div", class_="score")
    titles = [chart.all("title")[0].text for chart in html.all("svg", role="img")[1:]]
    assert titles == ["hateful_probability", "best score of tags", "Images a minute"]
    assert "threshold 0.5" in html.text
    assert html.all("table", class_="words")[0].all("tbody")[0].all("td")[-1].text == "21"


def test_what_is_rated_hateful_is_veiled(html: Element) -> None:
    """Its picture is seen only by those who ask, with one control each; the others at once. The
    highest scores come first.
    """
    for section in ("pictures", "highest-1"):
        found = html.at(section)
        for card in found.all("article", class_="card"):
            rated = bool(card.all("span", class_="yes"))
            assert ("veiled" in card.attributes["class"]) == rated
            asks = card.all("input", type="checkbox")
            assert len(asks) == rated
            if rated:
                assert card.all("label", **{"for": asks[0].attributes["id"]})
    scores = [float(one.text) for one in found.all("span", class_="number")]
    assert len(scores) == 12
    assert scores == sorted(scores, reverse=True)


def test_each_failure_is_explained(html: Element, run: Run) -> None:
    """By code: what it means, an example with its message, its picture where there is one, and the
    command that looks again.
    """
    panels = {one.all("code")[0].text: one for one in html.all("article", class_="failure")}
    assert panels.keys() == {"not_found", "truncated"}
    for code, panel in panels.items():
        assert WHY[ErrorCode(code)] in panel.text
        assert "it failed" in panel.text
        words = ("--run", "00000001", "--code", code, "--model", "FOLDER")
        command = typed("jobs/replay.py", run.output, *words)
        assert panel.all("pre")[0].text == command
    assert len(panels["truncated"].all("img")) == 1
    assert not panels["not_found"].all("img")


def test_every_code_has_words() -> None:
    """Whatever a row failed with, the page says what it means."""
    assert WHY.keys() == set(ErrorCode)


def test_the_page_says_how_it_was_made(html: Element, run: Run) -> None:
    """Model, meaning, digests and the job, and the command that does it again."""
    made = html.at("made")
    job = run.spec.job
    for said in (job.meaning_id(), job.model_digest, job.fingerprint(), '"quantization": "none"'):
        assert said in made.text
    assert made.all("pre")[0].text.startswith(f"{typed('jobs/label_bucket.py')} ")


def test_a_page_of_a_large_run_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some sixty pictures, evenly, each with its own labels, and a bounded number of others of a
    bounded size; parts are read in pieces.
    """
    monkeypatch.setattr(parts, "WHOLE_BYTES", 0)
    monkeypatch.setattr(parts, "BATCH_ROWS", 3)
    (tmp_path / "in").mkdir()
    for number in range(150):
        (tmp_path / "in" / f"{number:03d}.png").write_bytes(png())
    run, _ = finished(str(tmp_path), 10)
    assert report.main([run.output, "--to", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    sample = parsed(page).at("pictures")
    names = [one.text[:3] for one in sample.all("p", class_="name")]
    assert names == [f"{number * 150 // 60:03d}" for number in range(60)]
    assert [one.text for one in sample.all("p", class_="main")] == [
        f"picture {int(name)}" for name in names
    ]
    most = PICTURES + HIGHEST + EXAMPLES * len(ErrorCode)
    assert len(re.sub(r"data:image[^\"]*", "", page)) + most * LARGEST * 4 / 3 < 3_000_000


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    """Chromium has nothing to complain of, asks for no file but the page, shows every picture and
    no hostile one, keeps the veils until asked, and a phone of 360 pixels needs no scrolling aside.
    """
    program = find_chromium()
    assert program
    with chromium(program, tmp_path) as tab:
        tab.open(page.as_uri(), width=360)
        assert tab.value("document.documentElement.scrollWidth") <= 360
        assert tab.value("document.title").startswith("evil0/in")
        numbers = "[...document.querySelectorAll('.counts td, .words td:last-child')]"
        nowrap = "getComputedStyle(one).whiteSpace === 'nowrap'"
        assert tab.value(f"{numbers}.length > 3 && {numbers}.every(one => {nowrap})")
        pictures = "[...document.images]"
        assert tab.value(f"{pictures}.length") > IMAGES
        assert tab.value(f"{pictures}.every(one => one.complete && one.naturalWidth > 0)")
        assert tab.value("document.scripts.length") == 0
        assert tab.value("getComputedStyle(document.querySelector('.cards')).display") == "grid"
        look = "getComputedStyle(document.querySelector('.veiled img')).filter"
        assert "blur" in tab.value(look)
        tab.value("document.querySelector('.veiled .veil').click()")
        assert tab.value(look) == "none"
        tab.open(page.as_uri(), width=1280)
        assert tab.value("document.documentElement.scrollWidth") <= 1280
        asked = {one["request"]["url"] for one in tab.said("Network.requestWillBeSent")}
        assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
        said = tab.said("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        assert said == []
