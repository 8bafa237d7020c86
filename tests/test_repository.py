"""What holds of the repository as a whole: its locks, its commands, its addresses."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
JOBS = sorted(
    path.stem
    for path in ROOT.glob("jobs/*.py")
    if 'if __name__ == "__main__":' in path.read_text()  # the others help these
)
PACKAGES = ("benchmarks", "jobs", "schemas", "workers", "tests")

# Where packages and images are published; a mirror's user has other addresses.
REGISTRY = re.compile(
    r"\b(pypi|pythonhosted|npmjs|yarnpkg|crates|docker|ghcr|quay|download\.pytorch"
    r"|conda\.anaconda|deb\.debian|archive\.ubuntu)\.(org|com|io)\b"
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The table [project] of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def declared(project: dict[str, Any]) -> dict[str, Requirement]:
    """Every dependency of pyproject.toml, the extras' included, by canonical name."""
    extras = project["optional-dependencies"].values()
    lines = project["dependencies"] + [line for extra in extras for line in extra]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def locked(lock: Path) -> dict[str, tuple[str, list[str]]]:
    """Return version and hashes of each package in a lock, by name."""
    entries = re.findall(
        r"^([a-z0-9-]+)==(\S+)((?: \\\n    \S+)*)$", lock.read_text(), re.MULTILINE
    )
    return {name: (version, re.findall(r"\S{3,}", hashes)) for name, version, hashes in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_is_names_versions_and_hashes(lock: Path) -> None:
    """Each line of a lock is a comment, a pinned name, or a SHA-256: no address, no option."""
    entries = locked(lock)
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == sum(1 + len(hashes) for _, hashes in entries.values())
    for _, hashes in entries.values():
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes)


def test_the_locks_hold_what_is_declared(declared: dict[str, Requirement]) -> None:
    """Every dependency, extras included, is locked at a version that pyproject.toml allows."""
    whole = locked(ROOT / "requirements.lock")
    assert declared.keys() <= whole.keys()
    for name, requirement in declared.items():
        assert requirement.specifier.contains(whole[name][0]), name


def test_both_torches_are_one_release() -> None:
    """The CPU-only build is of the version that the lock has, so that it satisfies it."""
    version, _ = locked(ROOT / "requirements.lock")["torch"]
    assert locked(ROOT / "requirements-cpu.lock").keys() == {"torch"}
    assert locked(ROOT / "requirements-cpu.lock")["torch"][0] == f"{version}+cpu"


def test_what_is_imported_is_declared(declared: dict[str, Requirement]) -> None:
    """No module imports a package that is there only because another package needs it."""
    distributions = packages_distributions()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for module in {module.partition(".")[0] for module in modules}:
                if module not in PACKAGES and module not in sys.stdlib_module_names:
                    names = {canonicalize_name(name) for name in distributions[module]}
                    assert names & declared.keys(), f"{path.relative_to(ROOT)}: {module}"


def test_no_file_names_a_registrys_host() -> None:
    """No tracked text file holds the address of a package registry."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listing.stdout.decode().split("\0")[:-1]:
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content[:8192]:
            found = REGISTRY.search(content.decode())
            assert not found, f"{name}: {found and found[0]}"


PYTHON_WITHOUT_CPU_TORCH = """#!/bin/sh
case "$*" in
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*requirements-cpu.lock) echo "ERROR: a line before"; printf "%b\\n" "$PIP_SAYS" >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("pip_says", "told"),
    [
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "no CPU-only torch that"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nGot abc", "no CPU-only torch that"),
        ("WARNING: slow\nERROR: No space left on device", "pip said: ERROR: No space left"),
    ],
)
def test_an_install_without_the_cpu_torch_says_why(
    pip_says: str, told: str, tmp_path: Path
) -> None:
    """Where the CPU-only torch cannot be had, make says which one is meant, or what pip said."""
    for name in ("Makefile", *(lock.name for lock in LOCKS)):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON_WITHOUT_CPU_TORCH)
    python.chmod(0o755)
    process = subprocess.run(
        ["make", "PYTHON=./python", "install"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PIP_SAYS": pip_says},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert told in process.stdout
    assert "WARNING" not in process.stdout
    assert (tmp_path / ".venv" / ".installed").exists()


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("way", ["script", "module"])
def test_a_job_tells_its_usage_both_ways(job: str, way: str, tmp_path: Path) -> None:
    """`python jobs/x.py --help`, from any folder, and `python -m jobs.x --help` print a usage."""
    arguments = ["-m", f"jobs.{job}"] if way == "module" else [str(ROOT / "jobs" / f"{job}.py")]
    process = subprocess.run(
        [sys.executable, *arguments, "--help"],
        cwd=ROOT if way == "module" else tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("usage: ")
