"""The Dockerfile, as far as it can be tried without a builder."""

import ast
import fnmatch
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from jobs.ray_environment import ROOT

IGNORED = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions and their values, in order."""
    parser = DockerfileParser(str(ROOT / "Dockerfile"))
    known = [one for one in parser.structure if one["instruction"] != "COMMENT"]
    return [(one["instruction"], one["value"]) for one in known]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a file into the build: the last line that fits says so."""
    folders = [path, *map(str, Path(path).parents)][:-1]
    sent = True
    for line in IGNORED:
        pattern = line.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        for one in folders:
            tail = one.rpartition("/")[2] if pattern != anywhere else one
            deep = "/" in one and "/" not in anywhere and pattern == anywhere
            if not deep and fnmatch.fnmatchcase(tail, anywhere):
                sent = line.startswith("!")
    return sent


@pytest.fixture(scope="module")
def copied(steps: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's folder, without its environment: tracked files that COPY names and are sent."""
    place = tmp_path_factory.mktemp("image")
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
    tracked = [name for name in listing.stdout.decode().splitlines() if is_sent(name)]
    for instruction, value in steps:
        if instruction == "COPY":
            *sources, target = value.split()
            for source in sources:
                inside = [
                    name for name in tracked if name == source or name.startswith(f"{source}/")
                ]
                assert inside, f"COPY {source}: nothing of it is sent to the builder"
                for name in inside:
                    to = place / (name if target == "./" else target + name.removeprefix(source))
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, to)
    return place


def test_what_is_copied_is_enough_to_run(copied: Path) -> None:
    """The nightly job starts there, and each module finds what it imports of this repository, but
    for the benchmark, which is no node's work.
    """
    environment = {name: os.environ[name] for name in os.environ.keys() - {"PYTHONPATH"}}
    nightly = [sys.executable, "jobs/nightly.py", "--help"]
    ended = subprocess.run(nightly, cwd=copied, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    ours = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for file in set(copied.rglob("*.py")) - {copied / "jobs" / "benchmark.py"}:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                package, *rest = node.module.split(".")
                module = copied.joinpath(package, *rest)
                there = module.with_suffix(".py").is_file() or module.is_dir()
                assert package not in ours or there, f"{file}: {node.module}"


def test_nothing_heavy_or_private_is_inside(copied: Path) -> None:
    """No weights but those that ship, no tests, nothing of git; the whole is small."""
    files = [str(file.relative_to(copied)) for file in copied.rglob("*") if file.is_file()]
    weights = [name for name in files if name.endswith((".safetensors", ".pth", ".bin"))]
    assert weights == ["workers/model/checkpoints/pocket/model.safetensors"]
    assert not [name for name in files if name.startswith(("tests", "examples", ".git"))]
    assert sum((copied / name).stat().st_size for name in files) < 30e6


def test_the_environment_comes_from_the_locks_before_the_code(
    steps: list[tuple[str, str]],
) -> None:
    """Code that changed costs no new environment; the kind of torch is an argument."""
    order = [f"{instruction} {value}" for instruction, value in steps]
    (install,) = [place for place, one in enumerate(order) if "make install" in one]
    locks = {lock.name for lock in ROOT.glob("requirements*.lock")} | {"Makefile"}
    assert any(locks <= set(one.split()) for one in order[:install])
    assert order.index("COPY jobs jobs") > install
    arguments = [one.removeprefix("ARG ") for one in order[:install] if one.startswith("ARG ")]
    assert arguments == ["TORCH=cuda", "PIP_FIND_LINKS"]


@pytest.mark.parametrize(("cuda", "asked", "code"), [("None", "cpu", 0), ("None", "cuda", 1)])
def test_another_torch_than_was_asked_for_is_no_image(
    steps: list[tuple[str, str]], tmp_path: Path, cuda: str, asked: str, code: int
) -> None:
    """The build stops where pip found no CPU-only torch, or nothing else, and says so."""
    (tmp_path / "torch.py").write_text(f"class version:\n    cuda = {cuda}\n")
    (tmp_path / "make").write_text("#!/bin/sh\n")
    (tmp_path / "make").chmod(0o755)
    (install,) = [value for _, value in steps if "make install" in value]
    ended = subprocess.run(
        ["sh", "-c", install.replace(".venv/bin/python", sys.executable)],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "TORCH": asked},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == code
    assert ended.stderr == ("" if code == 0 else f"TORCH={asked} was asked for, cpu was found\n")


def test_nobody_is_root(steps: list[tuple[str, str]]) -> None:
    """The user is the number that the manifests name, and no instruction comes behind but CMD."""
    assert [instruction for instruction, _ in steps][-2:] == ["USER", "CMD"]
    assert steps[-2][1] == "1000"
