"""A site's memory without the model that it belongs to."""

from __future__ import annotations

from fedmrg_secure.update.factorization import Factorization, FloatArray, State


class MemoryKeeper:
    """What the client asks of `SiteTrainer` once an update is made."""

    def __init__(self, factorization: Factorization) -> None:
        self._factorization = factorization
        self._memory: dict[str, FloatArray] = {}

    @property
    def memory(self) -> dict[str, FloatArray]:
        return dict(self._memory)

    def load_memory(self, memory: dict[str, FloatArray]) -> None:
        self._memory = dict(memory)

    def settle(self, number: int, base: State, after: State, *, included: bool) -> None:
        self._factorization.settle(number, base, self._memory, included=included)

    def skip(
        self, passes: range, base: State, after: State, *, included: bool, forget: bool
    ) -> None:
        if forget:
            self._memory = {}
