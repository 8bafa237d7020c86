"""What is told of how far a run is."""

from workers.progress import SECONDS_BETWEEN_VIEWS, SECONDS_OF_SPEED, Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(clock: Clock, images: int, before: int = 0) -> Progress:
    """Of a run of one shard an image."""
    return Progress("00000001", images, images, before, before, clock)


def test_a_standing_tells_what_is_done_and_what_is_left() -> None:
    """Counts include batches under way; the time left follows from this driver's own speed."""
    clock = Clock()
    counted = progress(clock, 4000, before=1000)
    counted.committed(0, labelled=88, failed_by_code={"truncated": 2})
    counted.committed(2, labelled=0, failed_by_code={"truncated": 1, "not_found": 1})
    counted.began_batch(1, images_before=8)
    clock.now += 10
    standing = counted.standing(replicas=3, wanted=4)
    assert (standing.images, standing.of, standing.before) == (1100, 4000, 1000)
    assert (standing.labelled, standing.failed) == (88, 4)
    assert standing.failed_by_code == {"truncated": 3, "not_found": 1}
    assert (standing.owed, standing.shards) == (2908, 1002)
    assert (standing.images_per_second, standing.seconds_left) == (10.0, 290.0)


def test_what_a_lost_replica_had_not_committed_does_not_count() -> None:
    """A shard's batches count once, however often it is run."""
    clock = Clock()
    counted = progress(clock, 10)
    counted.began_batch(0, images_before=4)
    counted.lost(0)
    assert counted.images_seen == 0
    counted.began_batch(0, images_before=2)
    counted.committed(0, labelled=5, failed_by_code={})
    assert counted.images_seen == 5


def test_nothing_is_foretold_before_there_is_a_speed() -> None:
    """No time left is given while nothing is done."""
    clock = Clock()
    counted = progress(clock, 10, before=3)
    clock.now += 5
    standing = counted.standing(0, 1)
    assert (standing.images_per_second, standing.seconds_left) == (0.0, None)


def test_the_speed_is_that_of_the_last_minutes_in_which_replicas_ran() -> None:
    """Neither the minutes in which the first model was loaded count, nor those long ago."""
    clock = Clock()
    counted = progress(clock, 100_000)
    clock.now += 600
    counted.started()
    clock.now += 10
    counted.committed(0, labelled=100, failed_by_code={})
    assert counted.images_per_second == 10
    counted.started()  # one more
    assert counted.images_per_second == 10
    for shard in range(1, 1000):
        clock.now += 1
        assert counted.due()
        counted.committed(shard, labelled=2, failed_by_code={})
    assert 2 < counted.images_per_second <= 2 + 2 / SECONDS_OF_SPEED


def test_it_is_looked_at_now_and_then() -> None:
    """However often it is asked, nobody is flooded."""
    clock = Clock()
    counted = progress(clock, 10)
    due = 0
    for _ in range(96):
        clock.now += SECONDS_BETWEEN_VIEWS / 8
        due += counted.due()
    assert due == 12
