"""Time that passes only while one sleeps."""

from workers.store import Patience


class Clock:
    """A clock and the sleep that moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def patience(seconds: float = 60) -> Patience:
    """Patience that costs no time."""
    clock = Clock()
    return Patience(seconds, clock, clock.sleep)
