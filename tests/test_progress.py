"""The line that tells how far a run is."""

from workers.progress import SECONDS_BETWEEN_LINES, Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_tells_what_is_done_and_what_is_left() -> None:
    """Counts include batches under way; the time left follows from this driver's own speed."""
    clock = Clock()
    progress = Progress(total=4000, done=1000, clock=clock)
    progress.committed(0, images=90, failed=2)
    progress.began_batch(1, images_before=10)
    clock.now += 10
    assert progress.line() == "1,100 of 4,000 images, 2 failed, 10.0 images/s, 5 min left"


def test_what_a_lost_replica_had_not_committed_does_not_count() -> None:
    """A shard's batches count once, however often it is run."""
    clock = Clock()
    progress = Progress(total=10, done=0, clock=clock)
    progress.began_batch(0, images_before=4)
    progress.lost(0)
    progress.began_batch(0, images_before=2)
    progress.committed(0, images=5, failed=0)
    clock.now += 1
    assert progress.line().startswith("5 of 10 images")


def test_lines_are_some_seconds_apart() -> None:
    """However often it is asked, a log is not flooded."""
    clock = Clock()
    progress = Progress(total=10, done=0, clock=clock)
    lines = []
    for _ in range(100):
        clock.now += SECONDS_BETWEEN_LINES / 10
        lines.append(progress.line_if_due())
    assert len([line for line in lines if line]) == 10


def test_nothing_is_foretold_before_there_is_a_speed() -> None:
    """No time left is given while nothing is done."""
    clock = Clock()
    progress = Progress(total=10, done=3, clock=clock)
    clock.now += 5
    assert progress.line() == "3 of 10 images, 0 failed, 0.0 images/s"
