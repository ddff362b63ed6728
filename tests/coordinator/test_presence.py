from fedmrg_secure.coordinator.presence import Presence
from fedmrg_secure.coordinator.rounds import Deadlines


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_silence_beyond_the_timeout_is_loss_and_a_call_ends_it() -> None:
    clock = Clock()
    presence = Presence(10, clock=clock)
    presence.heard("alpha")
    clock.now += 9
    presence.heard("beta")
    assert presence.silent(["alpha", "beta"]) == []
    clock.now += 2
    assert presence.silent(["alpha", "beta"]) == ["alpha"]
    presence.heard("alpha")
    assert presence.silent(["alpha", "beta"]) == []


def test_a_coordinator_that_starts_again_gives_everybody_the_full_time() -> None:
    clock = Clock()
    presence = Presence(10, clock=clock)
    clock.now += 10
    assert presence.silent(["alpha"]) == []
    clock.now += 1
    assert presence.silent(["alpha"]) == ["alpha"]


def test_sites_that_start_with_their_coordinator_get_its_grace_until_one_calls() -> None:
    clock = Clock()
    presence = Presence(10, start_grace_s=60, clock=clock)
    clock.now += 59
    assert presence.silent(["alpha", "beta"]) == []
    presence.heard("alpha")
    clock.now += 9
    assert presence.silent(["alpha", "beta"]) == []
    clock.now += 2
    assert presence.silent(["beta"]) == ["beta"]


def test_a_deadline_runs_from_the_beginning_of_its_phase() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    assert not deadlines.overdue(1000, 1, "ANNOUNCING")
    clock.now += 2
    assert deadlines.overdue(1000, 1, "ANNOUNCING")
    assert not deadlines.overdue(1000, 1, "UPLOADING")
    clock.now += 0.5
    assert not deadlines.overdue(1000, 1, "UPLOADING")
    clock.now += 1
    assert deadlines.overdue(1000, 1, "UPLOADING")
