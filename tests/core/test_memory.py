"""Freed blocks go back to the system, whatever small ones lie among them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import sys, threading
from pathlib import Path
from fedmrg_secure.core.memory import keep_large_blocks_apart, return_freed_memory

def resident_mb():
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20

if sys.argv[1] == "apart":
    keep_large_blocks_apart()
bytearray(16 << 20)  # freed: glibc raises its threshold
kept, before = [], resident_mb()

together = threading.Barrier(8)

def work():
    for _ in range(40):
        together.wait()
        large = [bytearray(1 << 20) for _ in range(4)]
        kept.append([bytearray(600) for _ in range(4)])
        del large

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if sys.argv[1] == "trimmed":
    return_freed_memory()
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_blocks_are_given_back() -> None:
    def grown_mb(how: str) -> float:
        command = [sys.executable, "-c", _SCRIPT, how]
        return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    apart = grown_mb("apart")
    assert apart < 8
    pooled = max(grown_mb("pooled") for _ in range(3))  # how far it grows depends on the turns
    assert apart < pooled / 2
    assert grown_mb("trimmed") < pooled / 2
