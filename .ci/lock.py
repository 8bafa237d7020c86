"""Write requirements.lock and requirements-cuda.lock anew from pyproject.toml.

Usage: python .ci/lock.py [--upgrade]    (needs `uv` on the PATH)

Both locks hold for Python 3.11 to 3.14 on Linux and macOS, and carry the SHA-256 of every file of
a release but no address, so they work behind any mirror. They are two because torch's public build
for Linux needs several GB of CUDA packages beside it, its CPU-only build and macOS none of them.
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


def main() -> None:
    """Resolve, split by who asks for a package, and write both locks."""
    entries = resolve(sys.argv[1:])
    companions = [entry for entry in entries if CUDA_PACKAGE.match(entry)]
    others = [entry for entry in entries if entry not in companions]
    header = "# Written by .ci/lock.py from pyproject.toml; `make install` installs it.\n"
    LOCK.write_text(header + "\n".join(others) + "\n")
    header = "# Written by .ci/lock.py: what torch's public build for Linux needs beside it.\n"
    CUDA_LOCK.write_text(header + "\n".join(companions) + "\n")


if __name__ == "__main__":
    main()
