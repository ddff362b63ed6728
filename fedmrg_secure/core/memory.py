"""Gives freed memory back to the system, so that a process with many threads stays small.

glibc takes large blocks from the system one by one only until the first of them is freed; from then
on it cuts them from pools of its own, of which every few threads have one, and blocks that live on
keep the room of those around them from being given back. Messages and frames of megabytes on many
threads then cost several times their size for good. A fixed threshold keeps large blocks out of the
pools, and two pools are enough where Python's threads take turns anyway.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
"""mallopt(3): a threshold that is set is not raised any more."""
_LARGE_BYTES: Final = 64 * 1024
_M_ARENA_MAX: Final = -8
_POOLS: Final = 2


def keep_large_blocks_apart() -> None:
    """Let this process give large blocks back; to be called before it has many threads.

    Does nothing where the C library is not glibc.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        set_option(_M_ARENA_MAX, _POOLS)


def return_freed_memory() -> None:
    """Give the pools' free pages back now: what many small blocks of one message leave behind.

    Takes milliseconds. Does nothing where the C library is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
