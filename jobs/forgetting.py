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
from workers.progress import counted

ELSEWHERE = (
    "Not known here, and not looked at: exports (jobs/compact.py --to), reports written elsewhere "
    "(jobs/report.py --to), copies, logs, and older versions that a bucket keeps."
)
INPUT = "The images themselves stay in INPUT: no run into these outputs labels them again."


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
    codes = [ExitCode.COMPLETE]
    told: dict[str, Forgotten] = {}
    raised: list[str] = []

    def attempt(output: str, wanted: Sequence[str], keep_out: Sequence[str] = ()) -> None:
        called = ", ".join(outputs[output])
        try:
            came = forget(output, wanted, keep_out=keep_out)
        except BucketsightError as error:
            say(f"{program}: {called}: {error}")
            codes.append(error.exit_code)
            raised.append(called)
            return
        if output not in told:
            print(f"{called}: {_in_words(came)}", flush=True)
            for name in came.unreadable:
                say(
                    f"{program}: {called}: {name} cannot be read: nobody knows whether it holds "
                    "some, too"
                )
                codes.append(ExitCode.FAILED)
            told[output] = came

    for output in outputs:
        attempt(output, uris)
    known = {uri for came in told.values() for uri in came.found | came.before}
    for output, came in told.items():
        absent = [uri for uri in uris if uri in known - came.found - came.before]
        if absent:
            attempt(output, absent, keep_out=absent)
    unsure = [", ".join(outputs[output]) for output, came in told.items() if came.unreadable]
    for number, uri in enumerate(uris, 1):
        left = raised if uri in known else [*raised, *unsure]
        if left:
            say(
                f"{program}: URI {number} of {len(uris)}: not erased in {'; '.join(left)}; mend "
                "what is named above and give the command again"
            )
        elif uri not in known:
            say(f"{program}: nothing is known of URI {number} of {len(uris)}, in no collection")
    if any(came.rows for came in told.values()):
        print(ELSEWHERE if raised else f"{ELSEWHERE} {INPUT}", flush=True)
    return codes if known or len(codes) > 1 else [ExitCode.USAGE]


def _in_words(told: Forgotten) -> str:
    before = f"; {len(told.before):,} forgotten before" * bool(told.before)
    if not told.rows:
        return f"no rows of these images{before}"
    return f"erased {counted(told.rows, 'row')} in {counted(told.files, 'file')}{before}"
