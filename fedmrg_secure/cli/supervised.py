"""A child of `fedmrg run` ends when its parent is gone, however it went."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

VARIABLE: Final = "FEDMRG_SUPERVISED"
_GRACE_S: Final = 20.0


def end_with_parent() -> None:
    """If the environment says that a parent holds our stdin, end when it lets go of it.

    The end is a SIGTERM to this process, which every command takes as a request for an orderly
    stop, and after a grace period an exit for certain.
    """
    if os.environ.pop(VARIABLE, None) is None:
        return
    threading.Thread(target=_wait_for_end_of_stdin, name="parent-watch", daemon=True).start()


def _wait_for_end_of_stdin() -> None:
    stdin = sys.stdin.fileno()
    while os.read(stdin, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)
