"""Child processes: their words arrive, their end is seen, none is left."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from fedmrg_secure.federation.processes import ChildEvent, ProcessGroup


def events_until_exit(group: ProcessGroup, limit_s: float = 60) -> list[ChildEvent]:
    seen: list[ChildEvent] = []
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        event = group.next_event(0.2)
        if event is not None:
            seen.append(event)
            if event.kind == "exited":
                return seen
    raise TimeoutError("the child has not ended")


def test_lines_and_end_of_a_child_arrive(tmp_path: Path) -> None:
    group = ProcessGroup(tmp_path)
    group.start("version", ["--version"])
    first, last = events_until_exit(group)
    assert first.kind == "line"
    assert "fedmrg" in first.fields["text"]
    assert last.fields == {"event": "exited", "code": 0}
    assert group.running == ()


def test_waiting_for_one_child_loses_nothing_of_the_others(tmp_path: Path) -> None:
    group = ProcessGroup(tmp_path)
    group.start("first", ["--version"])
    while group.running:
        time.sleep(0.05)
    group.start("second", ["--version"])
    waited_for = group.next_event(60, of="second")
    assert waited_for is not None
    assert waited_for.child == "second"
    others = [group.next_event(1.0, of="first"), group.next_event(1.0)]
    assert [(event.child, event.kind) for event in others if event] == [
        ("first", "line"),
        ("first", "exited"),
    ]


def test_the_last_words_of_a_failed_child_are_kept(tmp_path: Path) -> None:
    group = ProcessGroup(tmp_path)
    child = group.start("wrong", ["run", "no-such-file.yaml"])
    assert events_until_exit(group)[-1].fields["code"] == 2
    assert "no-such-file.yaml" in child.error_text()
    assert "no-such-file.yaml" in (tmp_path / "wrong.log").read_text()


def test_stop_ends_a_child_that_would_run_on(tmp_path: Path) -> None:
    group = ProcessGroup(tmp_path)
    child = group.start("doctor", ["doctor"])
    assert child.running
    group.stop()
    assert child.process.returncode == -signal.SIGTERM
