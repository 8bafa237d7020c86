"""What a night's configuration may say."""

import argparse
import re
from pathlib import Path

import pytest

from jobs.configuration import read_configuration, seconds_of
from jobs.nightly import main
from schemas.outcome import ExitCode
from workers.request import Wish

GOOD = """
[[collection]]
name = "shop"
input = "pictures"
output = "labels"
tasks = ["caption", "tags"]
quant = "int8"
prompt = "brief"
ask = { colour = "Which colour is it?", mood = "sad = 1?" }
replicas = 3
max_failed = 7
max_images = 100_000
deadline = "90m"
"""


def test_a_table_says_what_flags_say(tmp_path: Path) -> None:
    """Each key means what the flag of its name does; limits are the night's."""
    place = tmp_path / "night.toml"
    place.write_text(GOOD)
    (shop,) = read_configuration(str(place))
    request, options = shop.arguments.request, shop.arguments.options
    assert (shop.name, request.input, request.output) == ("shop", "pictures", "labels")
    assert (request.incremental, request.quantization) == (True, "int8")
    asked = [one.name for one in request.tasks if isinstance(one, Wish)]
    assert asked == ["caption", "tags", "ask", "ask"]
    assert (options.replicas, shop.arguments.max_failed) == (3, 7)
    assert (shop.most_images, shop.seconds) == (100_000, 5400)


def without(key: str) -> str:
    return "\n".join(line for line in GOOD.splitlines() if not line.startswith(f"{key} ="))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + 'quantt = "int8"\n', "'quantt' that nobody knows; did you mean quant?"),
        (GOOD + "max-images = 3\n", "'max-images' that nobody knows; did you mean max_images?"),
        ("collections = []\n" + GOOD, "'collections' that nobody knows; did you mean collection?"),
        (without("quant"), "collection shop: quant is missing, .*: one of none, bf16, int8"),
        (GOOD.replace('"int8"', '"auto"'), "collection shop: quant is auto, which"),
        (GOOD.replace('"int8"', '"int9"'), "quant 'int9' is none: one of none, bf16, int8"),
        (without("input"), "collection shop: input is missing: it says where the images are"),
        (without("output"), "collection shop: output is missing: it says where the labels go"),
        (GOOD.replace('"labels"', '" "'), "shop: output is a text that is not empty"),
        (GOOD.replace('"shop"', r'"a\u001b[2J"'), r"collection 1: name 'a\\x1b\[2J' has a sign"),
        (GOOD.replace("replicas = 3", "replicas = -1"), "shop: replicas: must be at least 1"),
        (GOOD.replace("max_failed = 7", "max_failed = -1"), "max_failed: must be at least 0"),
        (without("tasks") + "prompt = 3\n", "no whole TOML file"),
        (
            without("tasks").replace("ask =", "#").replace("prompt", "#"),
            "nothing is asked of the images",
        ),
        (GOOD.replace("100_000", "0"), "max_images: must be at least 1"),
        (GOOD.replace("100_000", "true"), "max_images is neither a text nor a number"),
        (GOOD.replace('"90m"', '"tomorrow"'), "deadline: 'tomorrow' is no length of time"),
        (GOOD.replace('["caption", "tags"]', "3"), "tasks is 3, and must be a list of some of"),
        (
            GOOD.replace('["caption", "tags"]', '"caption"'),
            "tasks is 'caption', and must be a list",
        ),
        (GOOD.replace('["caption", "tags"]', "[]"), "tasks is empty: a list of some of caption"),
        (
            GOOD.replace('"caption", "tags"', '"captions"'),
            "'captions', which is no task; did you mean caption?",
        ),
        (GOOD.replace('"pictures"', '"labels/in"'), "collection shop: OUTPUT .* holds INPUT"),
        (GOOD + 'model = "/no/such"\n', "collection shop: .*no/such"),
        (GOOD + GOOD, "two collections called shop"),
        (GOOD + GOOD.replace('"shop"', '"other"'), "shop and other do the same"),
        (GOOD[:-4], "no whole TOML file"),
        ("", "names no collection"),
        ("collection = 3\n", "names no collection"),
        ("[[collection]]\n", "collection 1: name is missing"),
        (GOOD.replace("brief", "<ImageHere> or <ImageHere>"), "collection shop: .*2 times"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    said: str,
) -> None:
    """A configuration that is wrong somewhere is exit 2, names the place, and touches nothing."""
    monkeypatch.chdir(tmp_path)
    Path("night.toml").write_text(text)
    assert main(["night.toml"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert told.startswith("nightly: night.toml")
    assert re.search(said, told), told
    assert [one.name for one in tmp_path.iterdir()] == ["night.toml"]


def test_an_editor_may_leave_its_mark(tmp_path: Path) -> None:
    """The byte order mark that some editors write first is none of the file's words."""
    place = tmp_path / "night.toml"
    place.write_text(GOOD, "utf-8-sig")
    assert [one.name for one in read_configuration(str(place))] == ["shop"]


def test_nothing_is_not_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty --forget, such as of a variable that is not set, is bad usage."""
    with pytest.raises(SystemExit) as ended:
        main(["night.toml", "--forget", ""])
    assert ended.value.code == ExitCode.USAGE
    assert "--forget: must not be empty" in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named."""
    assert main(["nowhere.toml"]) == ExitCode.USAGE
    assert "nowhere.toml cannot be read" in capsys.readouterr().err


def test_a_length_of_time_has_its_unit() -> None:
    """Seconds, minutes, hours; a bare number, nothing and less are none."""
    assert [seconds_of(text) for text in ("45s", "90m", "1.5h")] == [45, 5400, 5400]
    for text in ("6", "0h", "-1h", "h", "1d", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match="no length of time"):
            seconds_of(text)
