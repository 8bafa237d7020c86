"""A headless Chromium of the machine's own, spoken to through two pipes; there may be none."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """The program, or None: this machine has none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page. What it says of itself meanwhile is kept in `events`."""

    def __init__(self, to: int, back: int) -> None:
        self._to = to
        self._back = os.fdopen(back, "rb", 0)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """What the browser answers; an AssertionError where it refuses."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (heard := self._hear()).get("id") != number:
            self.events.append(heard)
        assert "result" in heard, heard
        return heard["result"]

    def open(self, uri: str, width: int, height: int = 900, scale: float = 1) -> None:
        """Load a page into a window of this size; returns once all of it is there."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale}
        self.ask("Emulation.setDeviceMetricsOverride", **size, mobile=width < 600)
        self.ask("Page.navigate", url=uri)
        while (heard := self._hear()).get("method") != "Page.loadEventFired":
            self.events.append(heard)

    def value(self, expression: str) -> Any:
        """What a line of JavaScript comes to on the page."""
        told = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def said(self, *methods: str) -> list[dict[str, Any]]:
        """The parameters of all events so far of these kinds."""
        return [one["params"] for one in self.events if one.get("method") in methods]

    def screenshot(self, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        return base64.b64decode(
            self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        )

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = self._back.read(1 << 16)
            assert data, "Chromium ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(line)
        return heard


@contextmanager
def chromium(program: str, folder: Path) -> Iterator[Tab]:
    """A tab of a fresh Chromium that keeps what it keeps in `folder`; ended afterwards."""
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()

    def as_three_and_four() -> None:
        # on the numbers that it reads and writes, whatever the pipes' own are
        taken_in, taken_out = os.dup(theirs_in), os.dup(theirs_out)
        os.dup2(taken_in, 3)
        os.dup2(taken_out, 4)

    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    process = subprocess.Popen(
        [program, *flags, *quiet, f"--user-data-dir={folder}", "--remote-debugging-pipe"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=as_three_and_four,
        pass_fds=(3, 4),
    )
    os.close(theirs_in)
    os.close(theirs_out)
    tab = None
    try:
        tab = Tab(ours_out, ours_in)
        yield tab
    finally:
        process.terminate()
        process.wait()
        os.close(ours_out)
        if tab:
            tab._back.close()
