"""How much memory a measuring process has had."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress


def peak_memory_mb() -> float:
    """The most memory that this process had so far, MB of 10^6 bytes."""
    # Linux hands the starting process's peak down to `ru_maxrss`; VmHWM is this program's own.
    with suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * (1 if sys.platform == "darwin" else 1024) / 1e6
