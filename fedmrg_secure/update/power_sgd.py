"""PowerSGD for dense matrices, in two passes that each add under encryption.

For a matrix M_k of site k and a common Q (n, r) with orthonormal columns, the first pass sums
P = sum M_k Q, which every site orthonormalises to P^; the second sums Q = sum M_k^T P^. The mean
update is P^ Q^T. What a site's own product misses, M_k - P^ Q_k^T, stays at the site and is added
to its next M_k; all of M_k stays where the second sum went on without the site. Which matrices the
first sum was made of does not matter to this account: P^ is any common basis.

Source:
    Vogels, Karimireddy, Jaggi 2019 (arXiv 1905.13727), algorithm 1, with the warm start of Q.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.linear_algebra import multiply, orthonormalise
from fedmrg_secure.core.stable_random import orthonormal_rows
from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.update.clipping import clip_to_norm
from fedmrg_secure.update.factorization import (
    ANCHORS,
    CARRY,
    Memory,
    Shapes,
    State,
    added,
    differences,
    entries,
    pad,
    scheme_digest,
)
from fedmrg_secure.update.layout import Layout

Matrix = npt.NDArray[np.float64]

_FEEDBACK: Final = "feedback.error."
_PENDING: Final = "feedback.pending."
_LOW_RANK: Final = ("adapter.", ANCHORS)


class PowerSgd:
    """See the module; adapters and small tensors go along in full, shared out over both passes.

    Args:
        rank: r of the products.
        shapes: of the model's shared tensors.
    """

    passes: Final = 2

    def __init__(self, rank: int, shapes: Shapes) -> None:
        self._rank = rank
        self._matrices = {
            name: (shape[0], entries(shape) // shape[0])
            for name, shape in sorted(shapes.items())
            if _is_worth_it(name, shape, rank)
        }
        first = {f"{name}#p": (m, rank) for name, (m, _) in self._matrices.items()}
        second = {f"{name}#q": (n, rank) for name, (_, n) in self._matrices.items()}
        dense = {name: shape for name, shape in shapes.items() if name not in self._matrices}
        halves: tuple[dict[str, tuple[int, ...]], ...] = ({}, {})
        sizes = [Layout.of(part).size if part else 0 for part in (first, second)]
        for name in sorted(dense, key=lambda name: (-entries(dense[name]), name)):
            place = int(sizes[1] < sizes[0])
            halves[place][name] = dense[name]
            sizes[place] += entries(dense[name])
        for half, other in (halves, halves[::-1]):
            if not half:  # a layout has at least one tensor: the smallest
                half.update([other.popitem()])
        self._dense = tuple(Layout.of(half) for half in halves)
        self.layouts = (Layout.of({**first, **halves[0]}), Layout.of({**second, **halves[1]}))
        self.vector_size = max(layout.size for layout in self.layouts)
        self._all = Layout.of(dict(shapes))
        self.digest = scheme_digest("powersgd", self.layouts, {"rank": rank})

    def initial(self, shared: State) -> State:
        """The model's tensors and a random orthonormal Q^T (r, n) for every matrix."""
        carry = {
            f"{CARRY}q.{name}": orthonormal_rows(self._rank, n, label=f"powersgd/{name}", seed=0)
            for name, (_, n) in self._matrices.items()
        }
        blank = {
            f"{CARRY}p.{name}": np.zeros((m, self._rank), dtype=np.float32)
            for name, (m, _) in self._matrices.items()
        }
        return {**shared, **carry, **blank}

    def model_state(self, state: State) -> State:
        return {name: value for name, value in state.items() if not name.startswith(CARRY)}

    def trains(self, number: int) -> bool:
        return number % 2 == 1

    def trainable(self, number: int) -> frozenset[str]:
        return frozenset(name for name, _ in self._all.entries)

    def update(
        self,
        number: int,
        base: State,
        trained: State | None,
        memory: Memory,
        clip_norm: float,
    ) -> FloatVector:
        if trained is not None:
            vector = self._first(base, trained, memory, clip_norm)
        else:
            vector = self._second(base, memory)
        # The factors are orthonormal up to rounding only.
        return pad(clip_to_norm(vector, clip_norm), self.vector_size)

    def settle(self, number: int, base: State, memory: Memory, *, included: bool) -> None:
        if number % 2 == 1:
            return
        for name, (m, n) in self._matrices.items():
            if (pending := memory.pop(_PENDING + name, None)) is None:
                continue
            error = pending.reshape(m, n).astype(np.float64)
            if included:
                hat = base[f"{CARRY}p.{name}"].astype(np.float64)
                error = error - hat @ (error.T @ hat).T
            memory[_FEEDBACK + name] = error.astype(np.float32)
        for name, _ in self._dense[1].entries:
            memory.pop(_PENDING + name, None)

    def carried(self, name: str, difference: Matrix, before: State, after: State) -> Matrix:
        return difference

    def apply(self, number: int, base: State, mean: FloatVector) -> State:
        place = (number - 1) % 2
        sent = _split(self.layouts[place], mean)
        own = {name: sent[name].ravel() for name, _ in self._dense[place].entries}
        flat = np.concatenate(list(own.values())) if own else np.zeros(0)
        state = {**base, **added(base, self._dense[place], flat)}
        for name in self._matrices:
            if place == 0:
                hat = orthonormalise(np.ascontiguousarray(sent[f"{name}#p"].T)).T  # (m, r)
                state[f"{CARRY}p.{name}"] = hat.astype(np.float32)
                continue
            hat = base[f"{CARRY}p.{name}"].astype(np.float64)
            q = np.ascontiguousarray(sent[f"{name}#q"].T)  # (r, n)
            shape = base[name].shape
            step = multiply(hat, q).reshape(shape)
            state[name] = (base[name].astype(np.float64) + step).astype(np.float32)
            spare = base[f"{CARRY}q.{name}"].astype(np.float64)
            state[f"{CARRY}q.{name}"] = orthonormalise(q, spare=spare).astype(np.float32)
        return state

    def _first(self, base: State, trained: State, memory: Memory, clip_norm: float) -> FloatVector:
        """M_k Q and the first half of the rest; the whole update is clipped before."""
        changes = differences(base, trained, self._all)
        for name in self._matrices:
            if (error := memory.pop(_FEEDBACK + name, None)) is not None:
                changes[name] = changes[name] + error.reshape(changes[name].shape)
        clipped = _split(self._all, clip_to_norm(self._all.flatten(changes), clip_norm))
        sent: dict[str, Matrix] = {name: clipped[name] for name, _ in self._dense[0].entries}
        for name, (m, n) in self._matrices.items():
            matrix = clipped[name].reshape(m, n)
            memory[_PENDING + name] = matrix.astype(np.float32)
            sent[f"{name}#p"] = matrix @ base[f"{CARRY}q.{name}"].astype(np.float64).T
        for name, _ in self._dense[1].entries:
            memory[_PENDING + name] = clipped[name].astype(np.float32)
        return self.layouts[0].flatten(sent)

    def _second(self, base: State, memory: Memory) -> FloatVector:
        """M_k^T P^ and the second half; zeros at a site that was not there for the first."""
        sent: dict[str, Matrix] = {}
        for name, shape in self._dense[1].entries:
            sent[name] = memory.get(_PENDING + name, np.zeros(shape)).astype(np.float64)
        for name, (m, n) in self._matrices.items():
            matrix = memory.get(_PENDING + name, np.zeros((m, n))).astype(np.float64)
            hat = base[f"{CARRY}p.{name}"].astype(np.float64)
            sent[f"{name}#q"] = matrix.T @ hat  # (n, r)
        return self.layouts[1].flatten(sent)


def _split(layout: Layout, vector: FloatVector) -> dict[str, Matrix]:
    """A layout's tensors in float64, from a vector that may end in padding."""
    tensors, start = {}, 0
    for name, shape in layout.entries:
        end = start + entries(shape)
        tensors[name] = vector[start:end].reshape(shape)
        start = end
    return tensors


def _is_worth_it(name: str, shape: tuple[int, ...], rank: int) -> bool:
    if name.startswith(_LOW_RANK) or len(shape) < 2:
        return False
    m, n = shape[0], entries(shape) // shape[0]
    return rank <= min(m, n) and 2 * rank * (m + n) < m * n
