"""Noise that is drawn while the sum that it is for is still being made."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from fedmrg_secure.core.types import IntVector
from fedmrg_secure.privacy.events import GridNoise
from fedmrg_secure.privacy.mechanism import discrete_gaussian
from fedmrg_secure.privacy.randomness import NoiseStream


class NoiseAhead:
    """The noise of one sum, drawn by a thread of its own; to be taken once.

    Args:
        noise: as it is accounted for.
        stream: secret. A key is drawn from it at once and the noise comes from the stream of that
            key, so that what is read from `stream` later does not depend on the thread's pace.

    Guarantee:
        Nothing but `noise` and fresh random bits goes into it: it is begun before there is a sum.
        It is given out once, so no two sums have the same noise.
    """

    def __init__(self, noise: GridNoise, stream: NoiseStream) -> None:
        self._noise = noise
        branch = stream.branch()
        thread = ThreadPoolExecutor(1, thread_name_prefix="fedmrg-noise")
        self._drawn: Future[IntVector] | None = thread.submit(
            discrete_gaussian, noise.coordinates, noise.sigma, branch
        )
        thread.shutdown(wait=False)  # ends with the work that it has

    def take(self, noise: GridNoise) -> IntVector:
        """The noise, shape (noise.coordinates,), int64, when all of it is drawn.

        Args:
            noise: what the caller will account for.

        Raises:
            ValueError: it is another noise, or this one was taken before.
        """
        if self._drawn is None:
            raise ValueError("noise was taken before: it would protect neither sum")
        if noise != self._noise:
            raise ValueError(f"{self._noise} was drawn ahead, {noise} is asked for")
        drawn, self._drawn = self._drawn, None
        return drawn.result()
