"""A short pass over every parser of a peer's bytes; `make fuzz` takes longer."""

import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import mutate_json
from tests.fuzz.target import Hang, Target
from tests.fuzz.targets import all_targets

TARGETS = {target.name: target for target in all_targets()}


def test_hostile_bytes_get_a_clear_error_and_nothing_else_in_bounded_memory() -> None:
    """In a process of its own, because its memory is bounded."""
    command = [sys.executable, "-m", "tests.fuzz", "--examples", "60"]
    passed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert passed.stdout.count("nothing but clear errors") == len(TARGETS)


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"packed residues", "reply that refuses"}))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_bytes_that_are_changed_were_sound(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    target.parse(data.draw(target.sound))


def test_json_is_changed_along_its_structure() -> None:
    sound = b'{"a":[1,"x",{"b":null}],"c":true}'
    changed = {mutate_json(sound, random.Random(seed)) for seed in range(2000)}
    for part in (b"NaN", b"1.5", b"\\ud800", b"[" * 500, b"9" * 5000, b'"version":2', b'"extra"'):
        assert any(part in each for each in changed), part
    assert any(b'"a"' not in each for each in changed)


def test_a_crash_and_a_hang_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        Target("broken", st.just(b""), lambda data: 1 // len(data)).feed(b"")

    def spin(data: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr("tests.fuzz.target.LONGEST_S", 0.2)
    with pytest.raises(Hang):
        Target("endless", st.just(b""), spin).feed(b"")


def test_too_much_memory_would_be_seen() -> None:
    program = (
        "from hypothesis import strategies as st\n"
        "from tests.fuzz.feeding import bound_memory, survives\n"
        "from tests.fuzz.target import Target\n"
        "bound_memory()\n"
        "greedy = Target('greedy', st.just(b''), lambda data: bytearray(3 << 30))\n"
        "assert not survives(greedy, 0, 1)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "greedy: MemoryError" in ran.stderr
