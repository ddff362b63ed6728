"""Gives freed memory back to the system, so that a coordinator of many sites stays small.

glibc takes large blocks from the system one by one only until the first of them is freed; from then
on it cuts them from pools of its own, one pool a thread, in which small blocks that live on keep
the large ones' room from being given back. Messages and frames of megabytes on many threads then
cost several times their size for good. A fixed threshold keeps large blocks out of the pools.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
"""mallopt(3): a threshold that is set is not raised any more."""
_LARGE_BYTES: Final = 64 * 1024


def keep_large_blocks_apart() -> None:
    """Let this process give large blocks back as soon as they are freed; elsewhere does nothing."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)
