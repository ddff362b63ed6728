import pytest

from fedmrg_secure.protocol.errors import TooManyCalls
from fedmrg_secure.protocol.turnstile import Turnstile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_calls_under_way_are_bounded_for_each_party_alone() -> None:
    turnstile = Turnstile(2, 1000, 1000, Clock())
    turnstile.enter("alpha")
    turnstile.enter("alpha")
    with pytest.raises(TooManyCalls, match="2 calls under way"):
        turnstile.enter("alpha")
    turnstile.enter("beta")
    turnstile.leave("alpha")
    turnstile.enter("alpha")


def test_a_burst_is_followed_by_the_sustained_rate() -> None:
    clock = Clock()
    turnstile = Turnstile(100, 10, 5, clock)
    for _ in range(5):
        turnstile.enter("alpha")
    with pytest.raises(TooManyCalls):
        turnstile.enter("alpha")
    clock.now += 0.1
    turnstile.enter("alpha")
    with pytest.raises(TooManyCalls):
        turnstile.enter("alpha")
    clock.now += 1000
    for _ in range(5):
        turnstile.enter("alpha")
    with pytest.raises(TooManyCalls):
        turnstile.enter("alpha")
