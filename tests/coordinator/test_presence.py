"""Silence is counted from a site's last call, and not held against sites that start up."""

from __future__ import annotations

from fedmrg_secure.coordinator.presence import Presence
from fedmrg_secure.coordinator.rounds import Deadlines


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_site_is_silent_after_the_timeout() -> None:
    clock = Clock()
    presence = Presence(10, clock=clock)
    presence.heard("a")
    clock.now += 10
    assert presence.silent(["a"]) == []
    clock.now += 0.1
    assert presence.silent(["a"]) == ["a"]
    presence.heard("a")
    assert presence.silent(["a"]) == []


def test_after_a_start_nobody_is_silent_within_the_grace() -> None:
    clock = Clock()
    presence = Presence(10, 60, clock=clock)
    clock.now += 59
    assert presence.silent(["a", "b"]) == []
    clock.now += 2
    assert presence.silent(["a", "b"]) == ["a", "b"]


def test_a_call_after_a_start_ends_the_grace_of_that_site_only() -> None:
    clock = Clock()
    presence = Presence(10, 60, clock=clock)
    clock.now += 20
    presence.heard("a")
    clock.now += 11
    assert presence.silent(["a", "b"]) == ["a"]
    clock.now += 30
    assert presence.silent(["b"]) == ["b"]


def test_a_site_that_does_not_come_back_holds_nobody_up_for_the_whole_grace() -> None:
    clock = Clock()
    presence = Presence(4, 180, clock=clock)
    clock.now += 1.5
    presence.heard("a")
    clock.now += 5.4
    presence.heard("a")
    assert presence.silent(["a", "b"]) == []
    clock.now += 0.2
    assert presence.silent(["a", "b"]) == ["b"]
    assert presence.awaited(["a", "b"]) == ["b"], "it may still be starting"
    clock.now += 173
    assert presence.awaited(["a", "b"]) == []


def test_a_deadline_runs_from_the_beginning_of_its_phase() -> None:
    now = [100.0]
    deadlines = Deadlines(lambda: now[0])
    assert not deadlines.overdue(1000, 1, "ANNOUNCING")
    now[0] += 2
    assert deadlines.overdue(1000, 1, "ANNOUNCING")
    assert not deadlines.overdue(1000, 1, "UPLOADING")
    now[0] += 0.5
    assert not deadlines.overdue(1000, 1, "UPLOADING")
    now[0] += 1
    assert deadlines.overdue(1000, 1, "UPLOADING")
