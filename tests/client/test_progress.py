"""What a site tells of itself while it works."""

import pytest

from fedmrg_secure.client import progress
from fedmrg_secure.client.progress import Stopwatch


def test_a_phase_within_another_counts_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    watch = Stopwatch()
    with watch.measure("open"):
        now += 1
        with watch.measure("download"):
            now += 5
        now += 2
    with watch.measure("open"):
        now += 10
    assert watch.seconds == {"open": 13, "download": 5}
