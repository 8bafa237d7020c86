"""What the pages say can be done can be done: each command is run, or held by another test."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
import s3fs
from ray.scripts import scripts

from jobs.configuration import REQUIRED
from schemas.outcome import PASSING
from schemas.rows import ITEM_COLUMNS, ORIGIN_COLUMNS, OUTCOME_COLUMNS
from schemas.snapshot import ADDED_COLUMNS
from schemas.version import ROOT
from tests.deploy.scripts import submit
from tests.fleets import FleetHere
from tests.pages import PAGES, PICTURES, Block, blocks, make_buckets, make_checkout, name_of, play
from tests.pages import run as run_command
from tests.seaweed import Server
from workers.tasks import TASKS

ELSEWHERE = {
    ".venv/bin/python -m tests.chaos": "tests/faults/test_kills.py::test_on_a_disk",
    ".venv/bin/python -m tests.simulation": (
        "tests/simulation/test_simulation.py::test_a_seed_gives_the_same_run_again"
    ),
    ".venv/bin/python deploy/submit.py": (
        "tests/deploy/test_submit.py::test_the_exit_code_is_the_drivers"
    ),
    ".venv/bin/python jobs/benchmark.py": (
        "tests/jobs/test_benchmark.py::test_one_command_is_one_table"
    ),
    ".venv/bin/python jobs/convert_checkpoint.py": "tests/model/test_convert.py::test_pickles",
    ".venv/bin/python jobs/evaluate.py": (
        "tests/jobs/test_evaluate.py::test_a_killed_evaluation_is_gone_on_with"
    ),
    "RAY_ADDRESS=": (
        "tests/jobs/test_ray_job_submit.py::test_a_shell_that_knows_the_address_needs_no_submission"
    ),
    "docker": "tests/deploy/test_image.py::test_what_is_copied_is_enough_to_run",
    "export RAY_AUTH_MODE=token": "tests/jobs/clusters.py::ray_head",
    "journalctl": "tests/deploy/test_systemd.py::test_systemd_accepts_both",
    "kubectl": "tests/deploy/test_kubernetes.py::test_kubernetes_accepts_its_objects",
    "make chaos": "tests/faults/test_kills.py::test_on_a_disk",
    "make install": "tests/test_repository.py::test_an_install_without_the_cpu_torch_says_why",
    "make simulate": (
        "tests/simulation/test_simulation.py::test_every_image_ends_as_exactly_one_row"
    ),
    "make test": "tests/test_pages.py::test_what_is_held_elsewhere_is_spelt_right",
    "ray dashboard": "tests/test_ray_cluster.py::test_rays_own_checker_accepts_it",
    "ray down": "tests/test_ray_cluster.py::test_rays_own_checker_accepts_it",
    "ray job submit": "tests/jobs/test_ray_job_submit.py::test_a_submitted_job_labels_its_images",
    "ray up": "tests/test_ray_cluster.py::test_rays_own_checker_accepts_it",
    "sudo cp deploy/systemd/": "tests/deploy/test_systemd.py::test_systemd_accepts_both",
    "sudo systemctl": "tests/deploy/test_systemd.py::test_systemd_accepts_both",
    "systemctl": "tests/deploy/test_systemd.py::test_systemd_accepts_both",
    "source .venv/bin/activate": "tests/jobs/clusters.py::ray_head",
}
"""Commands that are not run here, by how they begin, and who holds what they do."""

COMMANDS = [(one, words) for page in PAGES for one in blocks(page) for words in one.commands()]


def held(words: list[str]) -> str | None:
    """The entry of ELSEWHERE that a command falls under."""
    fitting = [start for start in ELSEWHERE if " ".join(words).startswith(start)]
    return max(fitting, key=len, default=None)


Played = Callable[[str], Path]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, s3_server: Server) -> Iterator[Played]:
    """Does what a page says from top to bottom, once; the folder in which it was done."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level="ERROR",
    )
    places: dict[str, Path] = {}

    def call(page: str) -> Path:
        if page not in places:
            places[page] = tmp_path_factory.mktemp("checkout")
            with pytest.MonkeyPatch.context() as patch:
                for name, value in s3_server.environment.items():
                    patch.setenv(name, value)
                s3fs.S3FileSystem.clear_instance_cache()
                make_checkout(places[page])
                make_buckets((ROOT / page).read_text(encoding="utf-8"))
                patch.setenv("HOME", str(places[page] / "home"))
                patch.chdir(places[page])
                patch.setattr("workers.driver.RayFleet", FleetHere)
                patch.setattr("workers.estimate.job.RayFleet", FleetHere)
                said = ""
                for block in blocks(ROOT / page):
                    said += "".join(map(run_command, _ours(block)))
                    play(block, said)
        return places[page]

    yield call
    ray.shutdown()


def _ours(block: Block) -> list[list[str]]:
    return [words for words in block.commands() if not held(words)]


@pytest.mark.parametrize("page", [name_of(page) for page in PAGES])
def test_what_a_page_says_works(page: str, played: Played) -> None:
    """In a fresh checkout, from top to bottom: commands succeed, SQL finds rows, Python runs,
    configurations are whole, and what is said to be printed is.
    """
    played(page)


@pytest.mark.parametrize("words", [w for _, w in COMMANDS if held(w)], ids=shlex.join)
def test_what_is_held_elsewhere_is_spelt_right(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is not run is one that its program takes, and the named test exists."""
    start = held(words)
    assert start
    file, _, name = ELSEWHERE[start].partition("::")
    defined = ast.walk(ast.parse((ROOT / file).read_text()))
    assert name in {one.name for one in defined if isinstance(one, ast.FunctionDef)}
    look_at(words, monkeypatch)


def look_at(words: list[str], patch: pytest.MonkeyPatch) -> None:
    """Have the program of a command read its words, and do nothing."""
    while re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words = words[1:]
    for path in re.findall(r"\bdeploy/[^\s=]+", " ".join(words)):
        assert list(ROOT.glob(path)), path
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "ray":
        driver = words.index("--") + 1 if "--" in words else len(words)
        command: Any = scripts.cli
        for word in words[1:driver]:
            if word not in getattr(command, "commands", {}):
                break
            command = command.commands[word]
        command.make_context(words[1], words[words.index(command.name) + 1 :])
        if words[driver:]:
            look_at(words[driver:], patch)
    elif words[1] == "-m":
        module = (ROOT / words[2].replace(".", "/") / "__main__.py").read_text()
        assert all(f'"{word}"' in module for word in words if word.startswith("--"))
    elif words[:2] == [".venv/bin/python", "deploy/submit.py"]:
        patch.chdir(ROOT)
        _, job = submit()._parse(words[2:])
        look_at(shlex.split(job.entrypoint.rpartition("exec ")[2]), patch)
    elif words[0].endswith("python"):
        job = importlib.import_module(f"jobs.{Path(words[1]).stem}")
        if hasattr(job, "_parser"):
            job._parser().parse_args(words[2:])
        elif hasattr(job, "_parse"):
            job._parse(words[2:])
        else:
            patch.setattr("jobs.labelling.run_job", lambda *_: 0)
            assert job.main(words[2:]) == 0


def test_all_that_is_held_elsewhere_is_on_a_page() -> None:
    """No entry outlives its command."""
    assert {held(words) for _, words in COMMANDS} - {None} == ELSEWHERE.keys()


TYPED = r"^(\$ |\S*python |(make|ray|pip|kubectl|import|from|SELECT) |\[\[)"
INDENTED = r"\n\n {4}\S"


def test_commands_stand_in_blocks_that_say_so() -> None:
    """No block without a language holds something to type, and none is there by indentation."""
    for page in PAGES:
        assert not re.search(INDENTED, page.read_text(encoding="utf-8")), page
        for block in blocks(page):
            if not block.language:
                typed = re.search(TYPED, block.text, re.MULTILINE)
                assert not typed, f"{block}: {typed and typed[0]}"


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Files are there, and headings in them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


SOURCES = [
    path.read_text(encoding="utf-8")
    for pattern in (
        *("jobs/*.py", "workers/tasks/*.py", "benchmarks/*.py", "deploy/*.py"),
        "tests/*/__main__.py",
    )
    for path in ROOT.glob(pattern)
]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_flags_exist(page: Path) -> None:
    """What a page calls by a path of this repository is there, and each flag is somebody's."""
    spans = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    for span in spans:
        for path in re.findall(
            r"(?<![\w/.])(?:jobs|workers|schemas|tests|docs|deploy|benchmarks)/[\w./-]*\w", span
        ):
            assert (ROOT / path).exists(), span
        for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)) - {"--help"}:
            assert any(f'"{flag}"' in source for source in SOURCES), span


def test_readme_names_every_job_and_page() -> None:
    """Jobs in its table, pages in its index, and in its tree nothing that is not there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in ROOT.glob("jobs/*.py"):
        if "__main__" in path.read_text(encoding="utf-8"):
            assert f"`{path.name}`" in text, path
    for page in ROOT.glob("docs/*.md"):
        assert f"](docs/{page.name})" in text, page
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", text, re.DOTALL)
    named = set()
    for indent, names in re.findall(r"^( {0,2})(\S+(?: \S+)*?)  +", tree, re.MULTILINE):
        named |= {f"workers/{name}" if indent else name for name in names.split()}
    for name in named:
        assert list(ROOT.glob(name.rstrip("/"))), name
    for package in ROOT.glob("workers/*/__init__.py"):
        assert f"workers/{package.parent.name}/" in named


def test_the_nightly_page_names_every_key_and_passing_failure() -> None:
    """Its table is the configuration's, and its list that of schemas/outcome.py."""
    text = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)
    told = {key for cell in cells for key in re.findall(r"`([a-z_]+)`", cell)}
    assert told - {"quant"} >= known_keys() - {"quant"}
    (passing,) = re.findall(r"\*\*Failures\.\*\*(.*?)may pass", text, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", passing)) == PASSING


def known_keys() -> set[str]:
    """Of a collection's table, as the error about an unknown one lists them."""
    from jobs.arguments import Parser, add_labelling_flags
    from jobs.configuration import NOT_AT_NIGHT
    from jobs.label_bucket import TOGETHER

    flags = Parser()
    add_labelling_flags(flags, TOGETHER)
    given = vars(flags.parse_args(["INPUT", "OUTPUT"])).keys() - NOT_AT_NIGHT
    return {*given, *REQUIRED, "max_images", "deadline"}


def test_the_schema_page_names_every_column(played: Played) -> None:
    """Each column of a row stands in a table of the page, and each task with its version."""
    text = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    place = played("docs/schema.md")
    schema = pq.read_schema(next((place / "labels" / "labels").rglob("*.parquet")))
    cells = re.findall(r"`([\w]+)`", "\n".join(re.findall(r"^\|.*$", text, re.MULTILINE)))
    common = (*ITEM_COLUMNS, *OUTCOME_COLUMNS, *ORIGIN_COLUMNS)
    assert {column.name for column in common} <= set(cells)
    assert set(schema.names) - {"colour"} <= set(cells)
    for name, task in TASKS.items():
        assert re.search(rf"^\| `{name}` \| {task.version} \|", text, re.MULTILINE), name


def test_the_snapshots_page_names_what_rows_have_more() -> None:
    """By name and type."""
    text = (ROOT / "docs" / "snapshots.md").read_text(encoding="utf-8")
    for column in ADDED_COLUMNS:
        assert re.search(rf"^\| `{column.name}` \| {column.type}, never null", text, re.MULTILINE)


def test_a_row_reads_as_the_schema_page_says(played: Played) -> None:
    """Types and nulls are those of the tables."""
    table = pq.read_table(played("docs/schema.md") / "labels" / "labels")
    rows: list[dict[str, Any]] = table.to_pylist()
    assert len(rows) == len(PICTURES)
    for row in rows:
        good = row["status"] == "labelled"
        for name in ("caption", "tags", "hateful", "hateful_probability", "colour"):
            assert (row[name] is not None) == good, name
        if good:
            assert [tag["score"] for tag in row["tags"]] == sorted(
                (tag["score"] for tag in row["tags"]), reverse=True
            )
            assert 0 <= row["hateful_probability"] <= 1
            assert row["hateful_text_source"] == "none"
