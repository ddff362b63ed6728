"""A ledger under real processes: killed at every step of every write, and used by two at once."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fedmrg_secure.privacy import ledger_file
from fedmrg_secure.privacy.accountant import epsilon
from fedmrg_secure.privacy.events import ContinuousNoise, EveryUnit, PrivacyEvent
from fedmrg_secure.privacy.ledger import BudgetExhausted, Ledger, ledger_path, read_ledger

EVENT = PrivacyEvent(ContinuousNoise(8.0), EveryUnit(), 1)
DELTA = 1e-5
WATCHED = ("ledger_file.py", "durable.py")


def path_in(folder: Path) -> Path:
    return ledger_path(folder, "chest", "patient", DELTA)


def open_ledger(folder: Path) -> Ledger:
    return Ledger.open(
        path_in(folder), dataset="chest", unit="patient", delta=DELTA, budget=1.0, units=2000
    )


def use(folder: Path, done: int) -> None:
    """Begin a ledger, reserve, settle, reserve; says after each that it returned."""
    ledger = open_ledger(folder)
    os.write(done, b"o")
    first = ledger.reserve(EVENT, "run", 1)
    os.write(done, b"r")
    ledger.settle(first)
    os.write(done, b"s")
    ledger.reserve(EVENT, "run", 2)
    os.write(done, b"r")


def run_and_kill(folder: Path, at: int) -> tuple[Counter[str], bool]:
    """What returned before the child was killed at its `at`-th line of the writing code."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        lines = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal lines
            if not frame.f_code.co_filename.endswith(WATCHED):
                return None
            if event == "line":
                lines += 1
                if lines == at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            use(folder, writer)
        finally:
            os._exit(0)
    os.close(writer)
    done = Counter(os.read(reader, 64).decode()) if os.waitpid(child, 0) else Counter[str]()
    os.close(reader)
    return done, done.total() == 4


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 11])
def test_killed_anywhere_a_ledger_goes_on_and_has_forgotten_nothing(
    tmp_path: Path, stride: int
) -> None:
    for count in range(1, 5):
        epsilon([EVENT] * count, DELTA)  # opacus is loaded once, by this process
    at, finished = 0, False
    while not finished:
        at += stride
        folder = tmp_path / str(at)
        done, finished = run_and_kill(folder, at)
        ledger = open_ledger(folder)
        view = ledger.view()
        assert done["r"] <= len(view.spendings) <= done["r"] + 1
        settled = sum(each.outcome is not None for each in view.spendings)
        assert done["s"] <= settled <= done["s"] + 1
        ledger.settle(ledger.reserve(EVENT, "run", 3))
        assert len(read_ledger(path_in(folder)).spendings) == len(view.spendings) + 1
        shutil.rmtree(folder)
    assert at > 100


def test_cut_off_inside_any_write_an_entry_was_never_there(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.reserve(EVENT, "run", 1)
    path = path_in(tmp_path)
    head = path.with_name(path.name + ".head")
    before, head_before = path.read_bytes(), head.read_bytes()
    ledger.reserve(EVENT, "run", 2)
    after = path.read_bytes()
    for end in range(len(before), len(after)):
        path.write_bytes(after[:end])
        head.write_bytes(head_before)
        assert len(read_ledger(path).spendings) == 1
        assert path.read_bytes() == before
    path.write_bytes(after)
    head.write_bytes(head_before)
    assert len(read_ledger(path).spendings) == 2


def spend_all(folder: Path, name: str) -> int:
    ledger, count = open_ledger(folder), 0
    try:
        while True:
            ledger.settle(ledger.reserve(EVENT, name, count))
            count += 1
    except BudgetExhausted:
        return count


def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    alone = spend_all(tmp_path / "alone", "alone")
    assert alone > 3
    reader, writer = os.pipe()
    children = []
    for name in ("left", "right"):
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, bytes([spend_all(tmp_path / "both", name)]))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    counts = os.read(reader, 8)
    os.close(reader)
    os.close(writer)
    assert len(counts) == 2
    assert sum(counts) == alone
    view = read_ledger(path_in(tmp_path / "both"))
    assert len(view.spendings) == alone
    assert view.account.epsilon <= view.budget
    assert {each.outcome for each in view.spendings} == {"finished"}


def test_two_threads_share_one_budget(tmp_path: Path) -> None:
    alone = spend_all(tmp_path / "alone", "alone")
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(spend_all(tmp_path / "both", "thread")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == alone


def test_without_the_lock_two_processes_would_lose_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The bad twin: what the test above would miss if locking did nothing.
    ledger = open_ledger(tmp_path)
    monkeypatch.setattr(ledger_file.fcntl, "flock", lambda *_: None)
    held = ledger._file
    with held.locked():
        content = held.read()
        open_ledger(tmp_path).reserve(EVENT, "other", 1)
        held.append(content, "budget", {"budget": "2.0"})
    with pytest.raises(ledger_file.LedgerBroken):
        read_ledger(path_in(tmp_path))
