"""What a site sends of its update, so that adding under encryption loses nothing.

The mean of products B_k A_k is not the product of the means. Each scheme here sends something whose
mean is what the new weights are made of:

============  =========================================================  ==================
`ffa`         B; A is frozen (FFA-LoRA, arXiv 2403.12313)                exact
`fedsvd`      B; A follows by a common refactoring (arXiv 2505.12805)    exact
`rolora`      B and A in turns (arXiv 2502.01755)                        exact
`fedsb`       an r x r core between frozen factors (arXiv 2502.15436)    exact
`powersgd`    two passes over dense matrices (arXiv 1905.13727)          each pass is exact
============  =========================================================  ==================

`lora_both`, FedEx-LoRA and FLoRA are not here: the first is not exact, the others have the server
multiply or stack factors, which a coordinator that can only add ciphertexts cannot do.

A *state* is every public tensor by name, float32. Tensors named ``carry.*`` belong to the scheme,
not to the model. Tensors named ``anchors.*`` are no differences: sites send their own value, and
the mean's rows are scaled to norm 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.canonical import JsonValue, hash_json
from fedmrg_secure.core.config import UpdateConfig
from fedmrg_secure.core.linear_algebra import eigenvectors, multiply
from fedmrg_secure.core.stable_random import ordered_sum
from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.update.clipping import clip_to_norm
from fedmrg_secure.update.layout import Layout

FloatArray = npt.NDArray[np.float32]
State = Mapping[str, FloatArray]
Memory = MutableMapping[str, FloatArray]
Shapes = Mapping[str, tuple[int, ...]]
Matrix = npt.NDArray[np.float64]

CARRY: Final = "carry."
ANCHORS: Final = "anchors."
_DOWN, _UP = ".lora_A", ".lora_B"
_TAG: Final = "fedmrg/factorization/v1"


class Factorization(Protocol):
    """How updates are made and applied; see the module."""

    @property
    def passes(self) -> int:
        """Rounds of the protocol that one training round takes."""

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """What is sent: pass n uses ``layouts[(n - 1) % len(layouts)]``."""

    @property
    def vector_size(self) -> int:
        """Length of every vector; shorter ones end in zeros."""

    @property
    def digest(self) -> str:
        """Hex hash of all that decides what the numbers of a vector mean."""

    def initial(self, shared: State) -> State:
        """The public state to start from: the model's tensors, and the scheme's own."""

    def model_state(self, state: State) -> State:
        """The model's tensors of a public state."""

    def trains(self, number: int) -> bool:
        """Whether pass `number` (1, 2, ...) begins with local training."""

    def trainable(self, number: int) -> frozenset[str]:
        """Names of the tensors that may change in that training."""

    def update(
        self,
        number: int,
        base: State,
        trained: State | None,
        memory: Memory,
        clip_norm: float,
    ) -> FloatVector:
        """What a site sends in a pass.

        Args:
            number: of the pass.
            base: the public state before it.
            trained: the model's tensors after local training; None where the pass has none.
            memory: the site's private tensors; those named ``feedback.*`` are changed in place.
            clip_norm: L2 bound on the result.

        Returns:
            Shape (vector_size,), float64, norm at most `clip_norm`.

        Raises:
            UpdateNotFinite: the training ended in NaN or infinity.
        """

    def settle(self, number: int, base: State, memory: Memory, *, included: bool) -> None:
        """Bring a site's memory up to date once the sum of a pass is known.

        Called once for every pass that comes to a sum, in order, whether or not the site took part.

        Args:
            number: of the pass.
            base: the public state before it.
            memory: the site's private tensors; those named ``feedback.*`` are changed in place.
            included: whether the site's own vector is in the sum.
        """

    def carried(self, name: str, difference: Matrix, before: State, after: State) -> Matrix:
        """A difference of a tensor, made in the basis of one public state, in that of another.

        Args:
            name: of the tensor.
            difference: of its shape, float64.
            before: the state it was made in.
            after: a later state.
        """

    def apply(self, number: int, base: State, mean: FloatVector) -> State:
        """The public state after a pass: equal to the last bit at every site.

        Args:
            number: of the pass.
            base: the public state before it.
            mean: of the included sites' vectors, shape (vector_size,), float64.
        """


def make_factorization(config: UpdateConfig, shapes: Shapes) -> Factorization:
    """The scheme of a configuration for a model's shared tensors.

    Args:
        config: the configuration's section.
        shapes: of ``ReportGenerator.shared_state()``.
    """
    if config.factorization == "powersgd":
        from fedmrg_secure.update.power_sgd import PowerSgd

        return PowerSgd(config.rank, shapes)
    names = frozenset(shapes)
    without_a = frozenset(name for name in names if not name.endswith(_DOWN))
    without_b = frozenset(name for name in names if not name.endswith(_UP))
    turns = (without_a, without_b) if config.factorization == "rolora" else (without_a,)
    every = config.refactor_every if config.factorization == "fedsvd" else None
    return _Turns(config.factorization, turns, shapes, every)


class _Turns:
    """One pass a training round; groups of tensors are trained and sent in turns."""

    passes: Final = 1

    def __init__(
        self,
        name: str,
        turns: tuple[frozenset[str], ...],
        shapes: Shapes,
        refactor_every: int | None,
    ) -> None:
        self._turns = turns
        self._refactor_every = refactor_every
        self.layouts = tuple(Layout.of({n: shapes[n] for n in names}) for names in turns)
        self.vector_size = max(layout.size for layout in self.layouts)
        self.digest = scheme_digest(name, self.layouts, {"refactor_every": refactor_every})

    def initial(self, shared: State) -> State:
        return dict(shared)

    def model_state(self, state: State) -> State:
        return state

    def trains(self, number: int) -> bool:
        return True

    def trainable(self, number: int) -> frozenset[str]:
        return self._turns[(number - 1) % len(self._turns)]

    def update(
        self,
        number: int,
        base: State,
        trained: State | None,
        memory: Memory,
        clip_norm: float,
    ) -> FloatVector:
        assert trained is not None, "every pass trains"
        layout = self._layout(number)
        vector = layout.flatten(differences(base, trained, layout))
        return pad(clip_to_norm(vector, clip_norm), self.vector_size)

    def settle(self, number: int, base: State, memory: Memory, *, included: bool) -> None:
        return  # what a sum lacks is lost, as in federated averaging

    def carried(self, name: str, difference: Matrix, before: State, after: State) -> Matrix:
        if self._refactor_every is None or not name.endswith(_UP):
            return difference
        down = name.removesuffix(_UP) + _DOWN
        turn = before[down].astype(np.float64) @ after[down].astype(np.float64).T  # (r, r)
        return difference @ turn

    def apply(self, number: int, base: State, mean: FloatVector) -> State:
        layout = self._layout(number)
        state = {**base, **added(base, layout, mean)}
        if self._refactor_every is not None and number % self._refactor_every == 0:
            state.update(refactored(state))
        return state

    def _layout(self, number: int) -> Layout:
        return self.layouts[(number - 1) % len(self.layouts)]


def differences(base: State, trained: State, layout: Layout) -> dict[str, npt.NDArray[np.float64]]:
    """What a layout's tensors changed by, in float64; anchors are their own value."""
    return {
        name: trained[name].astype(np.float64)
        - (0 if name.startswith(ANCHORS) else base[name].astype(np.float64))
        for name, _ in layout.entries
    }


def added(base: State, layout: Layout, mean: FloatVector) -> dict[str, FloatArray]:
    """A layout's tensors after the mean came to them; anchors' rows get norm 1."""
    names = [name for name, _ in layout.entries]
    start = layout.flatten(
        {n: np.zeros_like(base[n]) if n.startswith(ANCHORS) else base[n] for n in names}
    )
    after = layout.unflatten(start + mean[: layout.size])
    for name in names:
        if name.startswith(ANCHORS):
            rows = after[name].astype(np.float64)
            norms = np.sqrt(ordered_sum(rows * rows))[:, None]
            kept = np.where(norms > 0, rows / np.where(norms > 0, norms, 1), base[name])
            after[name] = kept.astype(np.float32)
    return after


def refactored(state: State) -> dict[str, FloatArray]:
    """The adapters' factors with B'A' = B A, B' of orthogonal columns, largest first.

    A's rows are orthonormal, so that the singular vectors of B A are those of B turned into A's
    space: with B^T B = V S^2 V^T, A' = V^T A and B' = B V = U S. A' spans what A spanned: what
    changes is the basis that the sites train in, and that its first direction is the strongest.

    Source:
        FedSVD, arXiv 2505.12805, section 3; there the server refactors, here every site does.
    """
    stems = sorted(n.removesuffix(_UP) for n in state if n.endswith(_UP))
    ups = [state[stem + _UP].astype(np.float64) for stem in stems]  # (d_out, r) each
    rank = ups[0].shape[1]
    grams = np.stack(
        [
            ordered_sum((up.T[:, None] * up.T[None]).reshape(rank * rank, -1)).reshape(rank, rank)
            for up in ups
        ]
    )
    after: dict[str, FloatArray] = {}
    for stem, up, turn in zip(stems, ups, eigenvectors(grams), strict=True):
        down = state[stem + _DOWN].astype(np.float64)
        after[stem + _UP] = multiply(up, turn).astype(np.float32)
        after[stem + _DOWN] = multiply(np.ascontiguousarray(turn.T), down).astype(np.float32)
    return after


def pad(vector: FloatVector, size: int) -> FloatVector:
    """The vector with zeros behind it, shape (size,)."""
    if vector.size == size:
        return vector
    return np.concatenate([vector, np.zeros(size - vector.size)])


def scheme_digest(
    name: str, layouts: tuple[Layout, ...], constants: Mapping[str, JsonValue]
) -> str:
    """Hex hash of a scheme: its name, layouts and constants."""
    content: dict[str, JsonValue] = {
        "name": name,
        "layouts": [layout.to_json() for layout in layouts],
        **constants,
    }
    return hash_json(_TAG, content).hex()


def entries(shape: tuple[int, ...]) -> int:
    """Number of values of a tensor."""
    return math.prod(shape)
