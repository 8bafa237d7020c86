"""Pillow's warnings silenced, for threads that decode side by side.

`warnings.catch_warnings` alone is not for threads: each restores the filters that it found, in
whatever order they end. Here the first thread in silences and the last one out restores.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_catcher: warnings.catch_warnings | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """No warning that is raised inside Pillow gets out while any thread is in here."""
    global _inside, _catcher
    with _lock:
        if _inside == 0:
            _catcher = warnings.catch_warnings()
            _catcher.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _catcher is not None:
                _catcher.__exit__(None, None, None)
                _catcher = None
