"""deploy/submit.py as a module; its folder is no package."""

import importlib.util
import sys
from functools import cache
from types import ModuleType

from tests.jobs.commands import ROOT

SUBMIT = "deploy/submit.py"


@cache
def submit() -> ModuleType:
    """What the script defines."""
    spec = importlib.util.spec_from_file_location("submit", ROOT / SUBMIT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["submit"] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module
