"""Write requirements.lock and requirements-cuda.lock anew from pyproject.toml.

Usage: python .ci/lock.py [--upgrade]    (needs `uv` on the PATH)

Both locks hold for Python 3.11 to 3.14 on Linux and macOS, and carry the SHA-256 of every file of
a release but no address, so they work behind any mirror. They are two because torch is had in
two ways: the public build needs several GB of CUDA packages beside it, the CPU-only build none of
them. `make install` adds the second lock only where the torch that was installed asks for it.
Versions stay as they are locked unless --upgrade is given.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
CUDA_LOCK = ROOT / "requirements-cuda.lock"
CUDA_PACKAGE = re.compile(r"(nvidia|cuda|triton)\b")

# CPU-only wheels are published apart from the public ones (a folder or a mirror that pip is told
# of); pip takes one for `torch==2.13.0` where it finds one.
CPU_ONLY = {
    "torch==2.13.0": [
        # torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
    ],
}


def resolve(arguments: list[str]) -> list[str]:
    """Return one entry a package, hashes included, in the order of their names."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.lock")
        whole.write_text("".join(lock.read_text() for lock in (LOCK, CUDA_LOCK) if lock.exists()))
        subprocess.run(
            [
                *("uv", "pip", "compile", "--output-file", whole),
                *("--all-extras", "--universal", "--python-version", "3.11", "--generate-hashes"),
                *("--only-binary", ":all:", "--no-header", "--no-annotate", "--quiet"),
                *arguments,
                "pyproject.toml",
            ],
            cwd=ROOT,
            check=True,
        )
        # A condition only repeats where the lock holds: every package is wanted everywhere there.
        text = re.sub(r" ; .* \\$", r" \\", whole.read_text(), flags=re.MULTILINE)
        return re.findall(r"^\S.*(?:\n[ ].*)*", text, re.MULTILINE)


def with_cpu_only(entry: str) -> str:
    """Add the hashes of the CPU-only builds of this very release."""
    for digest in CPU_ONLY.get(entry.split()[0], []):
        entry += f" \\\n    --hash=sha256:{digest}"
    return entry


def main() -> None:
    """Resolve, split by who asks for a package, and write both locks."""
    entries = resolve(sys.argv[1:])
    companions = [entry for entry in entries if CUDA_PACKAGE.match(entry)]
    others = [with_cpu_only(entry) for entry in entries if entry not in companions]
    missing = CPU_ONLY.keys() - {entry.split()[0] for entry in others}
    if missing:
        sys.exit(f"CPU_ONLY names {', '.join(missing)}, which is not what was locked: update it.")
    header = "# Written by .ci/lock.py from pyproject.toml; `make install` installs it.\n"
    LOCK.write_text(header + "\n".join(others) + "\n")
    header = "# Written by .ci/lock.py: what torch's public build for Linux needs beside it.\n"
    CUDA_LOCK.write_text(header + "\n".join(companions) + "\n")


if __name__ == "__main__":
    main()
