import threading
import time

from fedmrg_secure.protocol.streams import IdleWatch


class Stream:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


def test_only_a_stream_that_stands_still_is_cancelled() -> None:
    watch, moving, idle = IdleWatch(0.3), Stream(), Stream()
    with watch.watched(moving) as alive, watch.watched(idle):
        for _ in range(12):
            time.sleep(0.05)
            alive()
        assert idle.cancelled.is_set()
        assert not moving.cancelled.is_set()
    watch.close()


def test_a_stream_that_has_ended_is_not_cancelled() -> None:
    watch, ended = IdleWatch(0.1), Stream()
    with watch.watched(ended):
        pass
    time.sleep(0.3)
    assert not ended.cancelled.is_set()
    watch.close()
