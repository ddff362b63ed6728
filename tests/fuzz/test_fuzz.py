"""A short pass over every parser of a peer's bytes; `make fuzz` takes longer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import Hang, Target, all_targets

TARGETS = {target.name: target for target in all_targets()}


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hostile_bytes_get_a_clear_error_and_nothing_else(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    target.feed(data.draw(target.hostile))


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"packed residues", "log entry"}))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_bytes_that_are_changed_were_sound(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    target.parse(data.draw(target.sound))


def test_a_crash_and_a_hang_would_be_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        Target("broken", st.just(b""), lambda data: 1 // len(data)).feed(b"")

    def spin(data: bytes) -> None:
        while True:
            pass

    with pytest.raises(Hang):
        Target("endless", st.just(b""), spin).feed(b"")
