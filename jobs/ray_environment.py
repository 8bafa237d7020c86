"""What Ray is told through the environment, which it reads when it is imported."""

import os
import secrets

from schemas.version import ROOT


def prepare_ray() -> None:
    """Ray's environment, for a cluster that the job starts for itself.

    What is set already stays. Where RAY_ADDRESS names a cluster, that one's settings count.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" in os.environ:
        return
    if "RAY_AUTH_MODE" not in os.environ:
        # Ray would write a token under the home folder, where every later `ray start` finds it.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # Ray then listens on the loopback device alone; on Linux its default is every interface.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
