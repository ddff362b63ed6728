"""The parts of a training step, for whoever measures them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

Phase = Literal["load", "gradients", "clip", "noise", "optimiser"]
"""Of a step, in its order; a plain one has no ``noise``."""

Meter = Callable[[Phase], AbstractContextManager[None]]
"""Entered with a part's name for as long as it takes. A step may enter one more than once, and one
inside another, whose time is then without it."""


def unmeasured(phase: Phase) -> AbstractContextManager[None]:
    """A meter that measures nothing."""
    return nullcontext()
