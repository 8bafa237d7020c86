"""What jobs/nightly.py --forget does: in the OUTPUT of every collection, and told collection by
collection. No line names an image.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.configuration import Collection
from jobs.labelling import say
from schemas.outcome import BucketsightError, ExitCode
from schemas.uri import canonical
from workers.forgetting import Forgotten, forget, require_quiet

ELSEWHERE = (
    "Not known here, and not looked at: exports (jobs/compact.py --to), reports written elsewhere "
    "(jobs/report.py --to), copies, logs, and older versions that a bucket keeps. The images "
    "themselves stay in INPUT: no run into these outputs labels them again."
)


def forget_all(
    program: str, collections: Sequence[Collection], uris: Sequence[str]
) -> list[ExitCode]:
    """Erase the rows of the images `uris`; what came of each collection, as exit codes.

    Nothing is touched while a driver works on any of them, nor where nothing is known of any URI.
    """
    outputs: dict[str, list[str]] = {}
    for one in collections:
        outputs.setdefault(canonical(one.arguments.request.output), []).append(one.name)
    try:
        for output in outputs:
            require_quiet(output)
    except BucketsightError as error:
        say(f"{program}: {error}")
        return [error.exit_code]
    codes, known = [ExitCode.COMPLETE], set[str]()
    erased = 0
    for output, names in outputs.items():
        called = f"{program}: {', '.join(names)}"
        try:
            told = forget(output, uris)
        except BucketsightError as error:
            say(f"{called}: {error}")
            codes.append(error.exit_code)
            continue
        print(f"{', '.join(names)}: {_in_words(told)}", flush=True)
        known |= told.found | told.before
        erased += told.rows
        for name in told.unreadable:
            say(f"{called}: {name} cannot be read: nobody knows whether it holds some, too")
            codes.append(ExitCode.FAILED)
    for number, uri in enumerate(uris, 1):
        if uri not in known:
            say(f"{program}: nothing is known of URI {number} of {len(uris)}, in no collection")
    if erased:
        print(ELSEWHERE, flush=True)
    return codes if known or len(codes) > 1 else [ExitCode.USAGE]


def _in_words(told: Forgotten) -> str:
    before = f"; {len(told.before):,} forgotten before" * bool(told.before)
    if not told.rows:
        return f"no rows of these images{before}"
    return f"{told.rows:,} rows in {told.files:,} files are erased{before}"
