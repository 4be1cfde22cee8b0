"""The watchdog: only a consumer that gets nothing of what waits for it is taken for lost."""

from dataclasses import replace

import pytest

from worker.amqp.watchdog import Sight, Watchdog

STARVING = Sight(ready=3, consumers=1, delivered=7, room=True)


def test_messages_that_wait_twice_and_do_not_come_are_noticed() -> None:
    """One look may be an unlucky moment, two are not."""
    watchdog = Watchdog(standby=False)
    assert watchdog.look(STARVING) is None
    reason = watchdog.look(STARVING)
    assert reason is not None
    assert "3 messages wait" in reason


@pytest.mark.parametrize("changes", [{"ready": 0}, {"delivered": 8}, {"room": False}])
@pytest.mark.parametrize("first", [True, False])
def test_what_explains_the_silence_calms_it(changes: dict[str, int], first: bool) -> None:
    """Nothing waits, something came, or more would be too many: at either of two looks."""
    watchdog = Watchdog(standby=False)
    looks = [replace(STARVING, **changes), STARVING]
    for sight in looks if first else reversed(looks):
        assert watchdog.look(sight) is None


def test_a_standby_consumer_is_lost_only_when_there_is_none() -> None:
    """While another's is active it gets nothing, rightly; a queue without any consumer is another matter."""
    watchdog = Watchdog(standby=True)
    assert [watchdog.look(STARVING) for _ in range(3)] == [None] * 3
    nobody = replace(STARVING, consumers=0)
    assert watchdog.look(nobody) is None
    assert watchdog.look(nobody) is not None
