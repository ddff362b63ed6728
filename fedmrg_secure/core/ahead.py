"""Working ahead on a few threads, in order, with bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def map_ahead(
    work: Callable[[A], B], items: Iterable[A], *, workers: int | None = None
) -> Iterator[B]:
    """``map(work, items)`` on threads: results in order, at most twice `workers` items ahead.

    Threads help where `work` leaves the interpreter's lock: NumPy, hashing, files, sockets.

    Args:
        work: called from several threads; with one worker, from the caller's own.
        items: taken one by one from the caller's thread.
        workers: threads; None: one a core, at most 4.

    Raises:
        Whatever `work` or `items` raise, at the item's place.
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    if workers == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="fedmrg-ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
