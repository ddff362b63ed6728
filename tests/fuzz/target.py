"""One parser of a peer's bytes, and whether it keeps its promise."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from hypothesis import strategies as st

from fedmrg_secure.core.errors import FedmrgError
from tests.fuzz.mutate import mutate

LONGEST_S: Final = 5.0
"""No parser may take longer, whatever it is given, in processor time: a busy machine is no hang."""

Mutator = Callable[[bytes, random.Random], bytes]


class Hang(AssertionError):
    """A parser took longer than `LONGEST_S`."""


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        name: for people.
        sound: bytes that it accepts.
        parse: takes any bytes; may raise nothing but `FedmrgError`.
        mutators: what may change sound bytes: at random, and by the form that they have.
    """

    name: str
    sound: st.SearchStrategy[bytes]
    parse: Callable[[bytes], object]
    mutators: tuple[Mutator, ...] = (mutate,)

    @property
    def hostile(self) -> st.SearchStrategy[bytes]:
        """Sound bytes changed a little or much, and some that were never sound."""
        chance = st.randoms(use_true_random=False)
        changed = [st.builds(mutator, self.sound, chance) for mutator in self.mutators]
        return st.one_of(*(changed * 3), st.binary(max_size=400))

    def feed(self, data: bytes) -> None:
        """Parse `data`; return unless the parser breaks its promise.

        Raises:
            Hang: it takes too long.
            Exception: whatever else than `FedmrgError` the parser raises.
        """
        with _alarm(LONGEST_S):
            try:
                self.parse(data)
            except FedmrgError as error:
                # Shown to people and written to files: it must be text.
                error.explain().encode()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"a parser took longer than {seconds} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
