"""What the pages tell people to type, and a place in which it can be typed."""

from __future__ import annotations

import importlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import duckdb
import s3fs

from jobs.configuration import read_configuration
from schemas.version import ROOT
from tests.checkpoints import save_tiny_checkpoint

PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *ROOT.glob("deploy/README.md"),
]
SHELLS = ("sh", "bash", "console")
PICTURES = ("img_002.jpg", "img_022.png", "img_043.jpg", "not-an-image.jpg")
"""Of examples/images, the last two broken: what lies wherever pages suppose pictures."""
PLACES = ("examples/images", "pictures", "home/Pictures")
BUCKETS = ("s3://bucket/images", "s3://holiday/2026/05", "s3://shop/photos")
TYPED = ("cp", "mkdir", "rm", "touch")
"""Commands of a shell with which a page may set something up."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each command, without comments; none where it holds no commands."""
        if self.language not in SHELLS:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
        return [some for some in words if some]


def name_of(page: Path) -> str:
    """As people call it."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(name_of(page), text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def make_checkout(folder: Path) -> None:
    """`folder` as a checkout of this repository with few pictures, and a home with some more."""
    for path in ROOT.iterdir():
        if path.name not in ("build", "examples") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for place in PLACES:
        (folder / place).mkdir(parents=True)
        for name in PICTURES:
            shutil.copy(ROOT / "examples" / "images" / name, folder / place)
    lines = [f'{{"image": "pictures/{name}", "text": "what a day"}}\n' for name in PICTURES]
    (folder / "memes.jsonl").write_text("".join(lines))
    save_tiny_checkpoint(folder / "home" / "tinygptv-4")


def make_buckets(text: str) -> None:
    """Every bucket that `text` names, with pictures where it supposes some and empty otherwise."""
    store = s3fs.S3FileSystem()
    for name in sorted(set(re.findall(r"s3://([a-z0-9-]+)", text))):
        if store.exists(name):
            store.rm(name, recursive=True)
        store.mkdir(name)
        for place in BUCKETS:
            if place.split("/")[2] == name:
                for picture in PICTURES:
                    store.put_file(ROOT / "examples" / "images" / picture, f"{place}/{picture}")


def play(block: Block, said: str) -> None:
    """Do what a block says that holds no commands, in the folder where we are.

    A configuration is written there; SQL knows the views of the files *.sql; `said` is what the
    page's commands have said so far.
    """
    if block.language == "toml":
        name = re.match(r"# (\S+\.toml)\n", block.text)
        assert name, f"{block}: the first line does not say what the file is called"
        Path(name[1]).write_text(block.text, encoding="utf-8")
        assert read_configuration(name[1])
    elif block.language == "sql":
        with duckdb.connect() as database:
            for views in Path().glob("*.sql"):
                database.execute(views.read_text(encoding="utf-8"))
            assert database.sql(block.text).fetchall(), f"{block} finds nothing"
    elif block.language == "python":
        exec(compile(block.text, str(block), "exec"), {})
    elif block.language == "text":
        for line in block.text.splitlines():
            pattern = re.sub(r"\d+", r"\\d+", re.escape(line))
            assert re.search(pattern, said), f"{block}: nothing says {line}"


def run(words: Sequence[str]) -> str:
    """What a command says that succeeds: one of jobs/ in this process, one of TYPED in its own.

    Behind `>` stands the file that its answer goes to.
    """
    shown = shlex.join(words)
    if words[0] == "make":
        return "".join(run(recipe) for recipe in _recipes(words))
    if words[0] in TYPED:
        subprocess.run(words, check=True)
        return ""
    job = re.fullmatch(r"\.venv/bin/python jobs/(\w+)\.py", " ".join(words[:2]))
    assert job, f"nobody runs {shown}: run it, or name the test that holds it"
    answer, said = io.StringIO(), io.StringIO()
    end = words.index(">") if ">" in words else len(words)
    with _as_before(), redirect_stdout(answer), redirect_stderr(said):
        arguments = [os.path.expanduser(word) for word in words[2:end]]
        try:
            code = importlib.import_module(f"jobs.{job[1]}").main(arguments)
        except SystemExit as ended:
            code = ended.code
    assert code == 0, f"{shown} ended with {code}:\n{said.getvalue()}"
    for file in words[end + 1 :]:
        Path(file).write_text(answer.getvalue(), encoding="utf-8")
    return answer.getvalue() + said.getvalue()


def _recipes(words: Sequence[str]) -> list[list[str]]:
    """What make would run of the jobs; an environment is there."""
    told = subprocess.run([*words, "--dry-run"], check=True, capture_output=True, text=True).stdout
    lines = told.splitlines()
    recipes = [shlex.split(line) for line in lines if line.startswith(".venv/bin/python jobs/")]
    assert recipes, f"{shlex.join(words)} runs no job"
    return recipes


@contextmanager
def _as_before() -> Iterator[None]:
    """A command has its process for itself, and leaves the signals as it likes."""
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
