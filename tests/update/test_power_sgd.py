"""PowerSGD in two encrypted passes, beside a literal plaintext one."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.config import UpdateConfig
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.schemes import make_scheme, new_key
from fedmrg_secure.update.factorization import Factorization, make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint

State = dict[str, np.ndarray]

RANK, SITES = 2, 3
MATRICES: dict[str, tuple[int, ...]] = {"encoder.stem": (20, 3, 3, 3), "projector.weight": (18, 24)}
SHAPES: dict[str, tuple[int, ...]] = {
    **MATRICES,
    "adapter.generic.q.lora_B": (40, RANK),
    "encoder.narrow": (4, 3),
    "encoder.norm": (16,),
    "projector.bias": (24,),
}
CODEC = FixedPoint(clip_norm=64.0, precision_bits=26)
PARAMETERS = SchemeParameters.for_config(
    CKKS_SHARED, sites=SITES, max_abs_value=CODEC.max_abs_value, max_norm=CODEC.max_norm
)
seeds = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module")
def key() -> SecretBytes:
    return new_key(PARAMETERS)


@pytest.fixture(scope="module")
def scheme() -> Factorization:
    return make_factorization(UpdateConfig(factorization="powersgd", rank=RANK), SHAPES)


def start(seed: int) -> State:
    random = np.random.default_rng(seed)
    return {n: random.normal(size=shape).astype(np.float32) for n, shape in SHAPES.items()}


def changes(seed: int) -> list[State]:
    """What each site's training changes, float64."""
    random = np.random.default_rng(seed)
    return [{n: random.normal(0, 0.2, s) for n, s in SHAPES.items()} for _ in range(SITES)]


def opened_mean(vectors: list[np.ndarray], key: SecretBytes) -> np.ndarray:
    site = make_scheme(PARAMETERS, key)
    chunks = [site.encrypt_chunk(0, CODEC.encode(vector)) for vector in vectors]
    total = np.zeros_like(chunks[0].residues)
    for chunk in chunks:
        add_mod(total, chunk.residues, PARAMETERS.modulus)
    opened = site.open_chunk(0, total, [chunk.openers for chunk in chunks], vectors[0].size)
    return CODEC.decode(opened, Fraction(len(vectors)))


def training_round(
    scheme: Factorization,
    number: int,
    state: State,
    moves: list[State],
    memories: list[State],
    key: SecretBytes,
) -> State:
    """Passes 2n - 1 and 2n, as every site runs them."""
    model = scheme.model_state(state)
    trained = [{n: (model[n] + move[n]).astype(np.float32) for n in model} for move in moves]
    for place in (2 * number - 1, 2 * number):
        assert scheme.trains(place) == (place % 2 == 1)
        vectors = [
            scheme.update(place, state, own if place % 2 else None, memory, CODEC.clip_norm)
            for own, memory in zip(trained, memories, strict=True)
        ]
        mean = opened_mean(vectors, key)
        for memory in memories:
            scheme.settle(place, state, memory, included=True)
        state = dict(scheme.apply(place, state, mean))
    return state


class Plain:
    """Algorithm 1 of arXiv 1905.13727 on float64 matrices, with LAPACK's QR."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self.weights = {n: state[n].astype(np.float64) for n in SHAPES}
        self.q = {n: state[f"carry.q.{n}"].astype(np.float64).T for n in MATRICES}
        self.errors = [{n: np.zeros(_flat(n)) for n in MATRICES} for _ in range(SITES)]

    def step(self, moves: list[State]) -> None:
        for name in SHAPES:
            if name not in MATRICES:
                self.weights[name] = self.weights[name] + np.mean([m[name] for m in moves], axis=0)
                continue
            own = [
                move[name].reshape(_flat(name)) + error[name]
                for move, error in zip(moves, self.errors, strict=True)
            ]
            p_hat = np.linalg.qr(np.mean([m @ self.q[name] for m in own], axis=0))[0]
            q = np.mean([m.T @ p_hat for m in own], axis=0)
            step = (p_hat @ q.T).reshape(SHAPES[name])
            self.weights[name] = self.weights[name] + step
            for error, m in zip(self.errors, own, strict=True):
                error[name] = m - p_hat @ (p_hat.T @ m)
            self.q[name] = np.linalg.qr(q)[0]


def _flat(name: str) -> tuple[int, int]:
    return (SHAPES[name][0], int(np.prod(SHAPES[name][1:])))


def test_what_is_factorised_is_what_gains(scheme: Factorization) -> None:
    sent = {n for layout in scheme.layouts for n, _ in layout.entries}
    assert {n.split("#")[0] for n in sent if "#" in n} == MATRICES.keys()
    assert sent - {n for n in sent if "#" in n} == SHAPES.keys() - MATRICES.keys()
    dense = sum(int(np.prod(shape)) for shape in SHAPES.values())
    assert 2 * scheme.vector_size < dense
    sizes = [layout.size for layout in scheme.layouts]
    assert max(sizes) - min(sizes) < 40, "the passes are about even, for both are padded"


@settings(max_examples=10)
@given(seed=seeds)
def test_two_encrypted_passes_are_the_plaintext_algorithm(
    scheme: Factorization, key: SecretBytes, seed: int
) -> None:
    """Over three rounds, feedback and warm start included. The bound: float32 states and the grid,
    enlarged by how far P is from losing rank."""
    state = dict(scheme.initial(start(seed)))
    plain = Plain(state)
    memories: list[State] = [{} for _ in range(SITES)]
    for number in (1, 2, 3):
        moves = changes(seed + number)
        model = scheme.model_state(state)
        # The literal one sees the very float32 changes that the sites see.
        seen = [
            {n: (model[n] + m[n]).astype(np.float32) - model[n].astype(np.float64) for n in SHAPES}
            for m in moves
        ]
        state = training_round(scheme, number, state, moves, memories, key)
        plain.step(seen)
        for name in SHAPES:
            np.testing.assert_allclose(state[name], plain.weights[name], atol=2e-5, err_msg=name)
        for memory, error in zip(memories, plain.errors, strict=True):
            for name in MATRICES:
                kept = memory[f"feedback.error.{name}"].reshape(_flat(name))
                np.testing.assert_allclose(kept, error[name], atol=2e-5)


@settings(max_examples=10)
@given(seed=seeds)
def test_nothing_is_lost_but_what_is_still_owed(
    scheme: Factorization, key: SecretBytes, seed: int
) -> None:
    """Over all rounds: what came to the state plus the mean of what the sites keep is the mean of
    all they ever changed, up to float32 and the grid."""
    state = dict(scheme.initial(start(seed)))
    first = {n: v.astype(np.float64) for n, v in scheme.model_state(state).items()}
    memories: list[State] = [{} for _ in range(SITES)]
    total = {n: np.zeros(s) for n, s in SHAPES.items()}
    for number in (1, 2, 3):
        moves = changes(seed + number)
        for name in SHAPES:
            total[name] += np.mean([move[name] for move in moves], axis=0)
        state = training_round(scheme, number, state, moves, memories, key)
    for name, shape in SHAPES.items():
        owed = np.zeros(shape)
        if name in MATRICES:
            owed = np.mean([m[f"feedback.error.{name}"] for m in memories], axis=0).reshape(shape)
            assert np.abs(owed).max() > 0.01
        np.testing.assert_allclose(
            state[name] - first[name] + owed, total[name], atol=5e-6, err_msg=name
        )
    for memory in memories:
        assert memory.keys() == {f"feedback.error.{name}" for name in MATRICES}


@settings(max_examples=10)
@given(seed=seeds)
def test_updates_in_one_space_of_rank_r_are_exact(
    scheme: Factorization, key: SecretBytes, seed: int
) -> None:
    """Then the product is the mean of the full updates, and nothing is owed.

    The bound: what the grid and float32 do to P, enlarged by how near P is to losing rank.
    """
    random = np.random.default_rng(seed)
    state = dict(scheme.initial(start(seed)))
    moves = changes(seed)
    for name in MATRICES:
        m, n = _flat(name)
        space = random.normal(size=(m, RANK))
        for move in moves:
            move[name] = 0.1 * (space @ random.normal(size=(RANK, n))).reshape(SHAPES[name])
    memories: list[State] = [{} for _ in range(SITES)]
    after = training_round(scheme, 1, state, moves, memories, key)
    for name in SHAPES:
        step, bound = np.mean([move[name] for move in moves], axis=0), 1e-6
        if name in MATRICES:
            p = step.reshape(_flat(name)) @ state[f"carry.q.{name}"].T.astype(np.float64)
            bound = 2e-5 * (1 + 1 / np.linalg.svd(p)[1][RANK - 1])
            for memory in memories:
                assert np.abs(memory[f"feedback.error.{name}"]).max() <= bound
        np.testing.assert_allclose(after[name], state[name] + step, atol=bound, err_msg=name)


def test_a_site_left_out_of_the_second_sum_owes_all(scheme: Factorization) -> None:
    state = scheme.initial(start(0))
    model = scheme.model_state(state)
    move = changes(1)[0]
    trained = {n: (model[n] + move[n]).astype(np.float32) for n in model}
    memory: State = {}
    first = scheme.update(1, state, trained, memory, CODEC.clip_norm)
    scheme.settle(1, state, memory, included=True)
    between = scheme.apply(1, state, first)
    scheme.update(2, between, None, memory, CODEC.clip_norm)
    scheme.settle(2, between, memory, included=False)
    for name in MATRICES:
        kept = memory[f"feedback.error.{name}"].reshape(SHAPES[name])
        np.testing.assert_allclose(kept, move[name], atol=1e-6)
    assert not [name for name in memory if "pending" in name]


def test_a_site_that_missed_the_first_pass_adds_zeros_to_the_second(scheme: Factorization) -> None:
    state = scheme.initial(start(0))
    between = scheme.apply(1, state, np.full(scheme.vector_size, 0.1))
    assert not scheme.update(2, between, None, {}, CODEC.clip_norm).any()


def test_a_layer_that_nobody_changed_stays(scheme: Factorization, key: SecretBytes) -> None:
    """P is zero then; Q keeps its directions for a round in which something changes."""
    state = dict(scheme.initial(start(3)))
    still = [{n: np.zeros(s) for n, s in SHAPES.items()}] * SITES
    memories: list[State] = [{} for _ in range(SITES)]
    after = training_round(scheme, 1, state, still, memories, key)
    for name in SHAPES:
        assert np.array_equal(after[name], state[name])
    for name in MATRICES:
        q = after[f"carry.q.{name}"].astype(np.float64)
        assert np.abs(q @ q.T - np.eye(RANK)).max() < 1e-6


def test_the_models_part_of_a_state_has_no_carry(scheme: Factorization) -> None:
    state = scheme.initial(start(0))
    assert scheme.model_state(state).keys() == SHAPES.keys()
    assert {n for n in state if n not in SHAPES} == {
        f"carry.{part}.{name}" for part in "pq" for name in MATRICES
    }
    assert not [n for layout in scheme.layouts for n, _ in layout.entries if "carry" in n]
