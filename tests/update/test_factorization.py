"""Every scheme through the encrypted path, beside a plaintext oracle that knows all updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.config import UpdateConfig
from fedmrg_secure.core.stable_random import orthonormal_rows
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.schemes import make_scheme, new_key
from fedmrg_secure.update.clipping import UpdateNotFinite, l2_norm
from fedmrg_secure.update.factorization import Factorization, make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint

State = dict[str, np.ndarray]

RANK = 3
LAYERS = {"model.0.q": (12, 10), "model.0.up": (9, 14), "model.1.q": (12, 10)}
"""Adapted layers: outputs and inputs."""
DENSE: dict[str, tuple[int, ...]] = {
    "encoder.stem": (16, 2, 3, 3),
    "encoder.norm": (16,),
    "projector.linear.weight": (24, 20),
    "projector.linear.bias": (24,),
}
ANCHORS = "anchors.prototype"
SCHEMES = get_args(UpdateConfig.model_fields["factorization"].annotation)
CODEC = FixedPoint(clip_norm=64.0, precision_bits=24)
"""The bound is far above any update drawn here: what clipping does has tests of its own."""
PARAMETERS = SchemeParameters.for_config(
    CKKS_SHARED, sites=4, max_abs_value=CODEC.max_abs_value, max_norm=CODEC.max_norm
)
FLOAT32 = 2.0**-23

factorizations = pytest.mark.parametrize("name", SCHEMES)


@pytest.fixture(scope="module")
def key() -> SecretBytes:
    return new_key(PARAMETERS)


def start(name: str, seed: int = 0, *, anchors: bool = False) -> State:
    """A public state somewhere in the middle of a run."""
    random = np.random.default_rng(seed)
    state = {part: random.normal(size=shape) for part, shape in DENSE.items()}
    for layer, (d_out, d_in) in LAYERS.items():
        stem = f"adapter.generic.{layer}"
        if name == "fedsb":
            state[f"{stem}.core"] = random.normal(size=(RANK, RANK))
            continue
        state[f"{stem}.lora_B"] = random.normal(size=(d_out, RANK))
        if name in ("fedsvd", "rolora"):
            state[f"{stem}.lora_A"] = orthonormal_rows(RANK, d_in, label=layer, seed=seed)
    if anchors:
        state[ANCHORS] = np.eye(4, 6)
    return {part: value.astype(np.float32) for part, value in sorted(state.items())}


def frozen(layer: str) -> tuple[np.ndarray, np.ndarray]:
    """What a layer's frozen factors are where the state does not hold them: B side and A side."""
    d_out, d_in = LAYERS[layer]
    left = orthonormal_rows(RANK, d_out, label=f"{layer}/left", seed=1).T
    return left.astype(np.float64), orthonormal_rows(RANK, d_in, label=layer, seed=0).astype(float)


def weights_of(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the model computes with: each layer's B A (or B R A), and every dense tensor."""
    found = {name: state[name].astype(np.float64) for name in DENSE}
    for layer in LAYERS:
        stem = f"adapter.generic.{layer}"
        left, right = frozen(layer)
        if f"{stem}.core" in state:
            found[layer] = left @ state[f"{stem}.core"].astype(np.float64) @ right
            continue
        right = state.get(f"{stem}.lora_A", right).astype(np.float64)
        found[layer] = state[f"{stem}.lora_B"].astype(np.float64) @ right
    return found


def scheme(name: str, state: State, **changes: Any) -> Factorization:
    config = UpdateConfig(factorization=name, rank=RANK, **changes)  # type: ignore[arg-type]
    return make_factorization(config, {part: value.shape for part, value in state.items()})


def train(
    factorization: Factorization, number: int, state: Mapping[str, np.ndarray], seed: int
) -> State:
    """What a site has after training: whatever may train has moved, and nothing else."""
    random = np.random.default_rng(seed)
    model = dict(factorization.model_state(state))
    for name in factorization.trainable(number):
        step = random.normal(0, 0.2, model[name].shape)
        model[name] = (model[name] + step).astype(np.float32)
    return model


def opened_mean(
    vectors: Sequence[np.ndarray], shares: Sequence[Fraction], key: SecretBytes
) -> np.ndarray:
    """Encode and encrypt at each site, add residues as the coordinator does, open."""
    site = make_scheme(PARAMETERS, key)
    codes = [CODEC.encode(v, share) for v, share in zip(vectors, shares, strict=True)]
    opened = []
    for begin in range(0, vectors[0].size, PARAMETERS.chunk_values):
        chunks = [site.encrypt_chunk(0, c[begin : begin + PARAMETERS.chunk_values]) for c in codes]
        total = np.zeros_like(chunks[0].residues)
        for chunk in chunks:
            add_mod(total, chunk.residues, PARAMETERS.modulus)
        count = codes[0][begin : begin + PARAMETERS.chunk_values].size
        opened.append(site.open_chunk(0, total, [chunk.openers for chunk in chunks], count))
    return CODEC.decode(np.concatenate(opened), sum(shares, Fraction(0)))


def one_pass(
    factorization: Factorization,
    number: int,
    state: State,
    trained: Sequence[State | None],
    memories: Sequence[State],
    shares: Sequence[Fraction],
    key: SecretBytes,
) -> State:
    vectors = [
        factorization.update(number, state, own, memory, CODEC.clip_norm)
        for own, memory in zip(trained, memories, strict=True)
    ]
    for vector in vectors:
        assert vector.shape == (factorization.vector_size,)
        assert vector.dtype == np.float64
    mean = opened_mean(vectors, shares, key)
    for memory in memories:
        factorization.settle(number, state, memory, included=True)
    return dict(factorization.apply(number, state, mean))


seeds = st.integers(0, 2**31 - 1)
shares_of_sites = st.lists(
    st.fractions(Fraction(1, 10), 1, max_denominator=50), min_size=1, max_size=4
)


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "powersgd"])
@settings(max_examples=12)
@given(seed=seeds, shares=shares_of_sites)
def test_the_opened_aggregate_is_the_mean_of_full_updates(
    name: str, key: SecretBytes, seed: int, shares: list[Fraction]
) -> None:
    """Over several rounds, hence both phases of rolora and a refactoring of fedsvd.

    The bound: a coordinate of what is sent errs by `CODEC.error_bound`, which the frozen factor
    multiplies by its row's (column's) sum of absolute values; then float32 rounding.
    """
    state = start(name, seed)
    factorization = scheme(name, state, refactor_every=2)
    grid = CODEC.error_bound(len(shares), sum(shares, Fraction(0)))
    for number in (1, 2, 3):
        trained = [train(factorization, number, state, seed + 10 * number + k) for k in range(4)]
        trained = trained[: len(shares)]
        fixed = state
        state = one_pass(factorization, number, state, trained, [{} for _ in shares], shares, key)
        effective = [weights_of(own) for own in trained]
        for part, value in weights_of(state).items():
            mean = np.average(
                [own[part] for own in effective], axis=0, weights=[*map(float, shares)]
            )
            spread = _spread(name, number, part, fixed)
            rounding = 8 * FLOAT32 * (1 + np.abs(mean).max()) * (RANK if part in LAYERS else 1)
            assert np.abs(value - mean).max() <= grid * spread + rounding, (number, part)


def _spread(name: str, number: int, part: str, state: State) -> float:
    """How far one step of the grid on every coordinate sent can move an effective weight."""
    if part not in LAYERS:
        return 1.0
    left, right = frozen(part)
    stem = f"adapter.generic.{part}"
    if name == "fedsb":
        return float(np.abs(left).sum(axis=1).max() * np.abs(right).sum(axis=0).max())
    if name == "rolora" and number % 2 == 0:
        return float(np.abs(state[f"{stem}.lora_B"]).sum(axis=1).max())
    return float(np.abs(state.get(f"{stem}.lora_A", right)).sum(axis=0).max())


def test_plain_lora_would_not_be_exact() -> None:
    """The bad twin: averaging both factors is not averaging their product."""
    state = start("rolora")
    random = np.random.default_rng(0)
    trained = [
        {name: v + random.normal(0, 0.2, v.shape) for name, v in state.items()} for _ in range(3)
    ]
    averaged = {name: np.mean([own[name] for own in trained], axis=0) for name in state}
    for layer in LAYERS:
        mean = np.mean([weights_of(own)[layer] for own in trained], axis=0)
        assert np.abs(weights_of(averaged)[layer] - mean).max() > 1e-2


@pytest.mark.parametrize("name", ["ffa", "powersgd"])
def test_anchors_are_the_directions_of_the_sites_sums(name: str, key: SecretBytes) -> None:
    state = start(name, anchors=True)
    state[ANCHORS][3] = 0
    factorization = scheme(name, state)
    random = np.random.default_rng(0)
    sums = random.normal(0, 0.1, (2, 4, 6)).astype(np.float32)
    sums[:, 2:] = 0  # no site has a record with these classes
    trained = [{**state, ANCHORS: own} for own in sums]
    memories: list[State] = [{}, {}]
    after = dict(factorization.initial(state))
    for number in range(1, factorization.passes + 1):
        given_ = trained if factorization.trains(number) else [None, None]
        after = one_pass(factorization, number, after, given_, memories, [Fraction(1)] * 2, key)
    mean = sums.mean(axis=0)[:2]
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(after[ANCHORS][:2], expected, atol=1e-5)
    assert np.array_equal(after[ANCHORS][2:], state[ANCHORS][2:])


@settings(max_examples=30)
@given(seed=seeds, spare=st.integers(0, RANK), decades=st.integers(-5, 2))
def test_refactoring_changes_the_basis_and_not_the_function(
    seed: int, spare: int, decades: int
) -> None:
    state = start("fedsvd", seed)
    for name in state:
        if name.endswith(".lora_B"):
            state[name] *= np.float32(10.0**decades)
            state[name][:, RANK - spare :] = 0
    factorization = scheme("fedsvd", state, refactor_every=4)
    zero = np.zeros(factorization.vector_size)
    for number in (1, 2, 3):
        unchanged = factorization.apply(number, state, zero)
        assert all(np.array_equal(unchanged[name], state[name]) for name in state)
    after = factorization.apply(4, state, zero)
    before, now = weights_of(state), weights_of(after)
    for layer in LAYERS:
        error = np.linalg.norm(now[layer] - before[layer])
        assert error <= 1e-5 * np.linalg.norm(before[layer])
        down = after[f"adapter.generic.{layer}.lora_A"].astype(np.float64)
        assert np.abs(down @ down.T - np.eye(RANK)).max() < 1e-6
        up = after[f"adapter.generic.{layer}.lora_B"].astype(np.float64)
        values = np.linalg.svd(before[layer])[1][:RANK]
        np.testing.assert_allclose(np.linalg.norm(up, axis=0), values, atol=1e-5 * values.max())
        gram = up.T @ up
        assert np.abs(gram - np.diag(np.diag(gram))).max() <= 1e-5 * np.abs(gram).max()
    for name in DENSE:
        assert np.array_equal(after[name], state[name])


def test_a_hundred_refactorings_keep_the_rows_orthonormal() -> None:
    state = start("fedsvd")
    factorization = scheme("fedsvd", state, refactor_every=1)
    random = np.random.default_rng(0)
    for number in range(1, 101):
        mean = random.normal(0, 0.05, factorization.vector_size)
        state = dict(factorization.apply(number, state, mean))
    for layer in LAYERS:
        down = state[f"adapter.generic.{layer}.lora_A"].astype(np.float64)
        assert np.abs(down @ down.T - np.eye(RANK)).max() < 5e-6


@factorizations
def test_every_site_comes_to_the_same_bits(name: str) -> None:
    """Whatever the order of its names and the memory layout of its arrays."""
    shared = start(name)
    first, second = scheme(name, shared), scheme(name, dict(reversed(shared.items())))
    assert first.digest == second.digest
    here = dict(first.initial(shared))
    there = {n: np.asfortranarray(v) for n, v in reversed(second.initial(shared).items())}
    random = np.random.default_rng(0)
    for number in range(1, 9):
        mean = random.normal(0, 0.1, first.vector_size)
        here = dict(first.apply(number, here, mean))
        there = {
            n: np.asfortranarray(v)
            for n, v in reversed(second.apply(number, there, mean.copy()).items())
        }
        assert here.keys() == there.keys()
        assert all(here[n].tobytes() == there[n].tobytes() for n in here), number


@factorizations
def test_an_update_is_clipped_as_a_whole(name: str) -> None:
    state = start(name)
    factorization = scheme(name, state)
    public = factorization.initial(state)
    trained = train(factorization, 1, public, 1)
    free, bound = dict[str, np.ndarray](), dict[str, np.ndarray]()
    whole = factorization.update(1, public, trained, free, 1e6)
    clipped = factorization.update(1, public, trained, bound, 0.25)
    assert l2_norm(whole) > 1
    if name != "powersgd":  # there the whole update is clipped, before it is factorised
        assert l2_norm(clipped) == pytest.approx(0.25)
    assert l2_norm(clipped) <= 0.25
    np.testing.assert_allclose(clipped / l2_norm(clipped), whole / l2_norm(whole), atol=1e-6)
    if factorization.passes == 2:
        later = factorization.apply(1, public, clipped)
        assert l2_norm(factorization.update(2, later, None, bound, 0.25)) <= 0.25


@factorizations
def test_what_diverged_is_not_sent(name: str) -> None:
    state = start(name)
    factorization = scheme(name, state)
    trained = train(factorization, 1, factorization.initial(state), 1)
    trained["encoder.norm"][3] = np.nan
    with pytest.raises(UpdateNotFinite):
        factorization.update(1, factorization.initial(state), trained, {}, 1.0)


@factorizations
def test_what_trains_is_what_is_sent(name: str) -> None:
    """Nothing may train whose change would be lost, and A of fedsvd does not travel."""
    state = start(name)
    factorization = scheme(name, state)
    sent = [{n.split("#")[0] for n, _ in layout.entries} for layout in factorization.layouts]
    for number in range(1, 5):
        if not factorization.trains(number):
            continue
        if factorization.passes == 2:
            assert factorization.trainable(number) == sent[0] | sent[1] == state.keys()
        else:
            assert factorization.trainable(number) == sent[(number - 1) % len(sent)]
    downs = {n for n in state if n.endswith(".lora_A")}
    if name == "fedsvd":
        assert downs
        assert not downs & set().union(*sent)
    if name == "rolora":
        assert downs <= sent[1]
        assert not downs & sent[0]
        assert not {n for n in state if n.endswith(".lora_B")} & sent[1]


def test_the_digest_tells_every_meaning_apart() -> None:
    by_a = start("fedsvd")
    plain = start("ffa")
    wider = {n: np.zeros((*v.shape[:-1], v.shape[-1] + 1)) for n, v in plain.items()}
    renamed = {n.replace("stem", "root"): v for n, v in plain.items()}
    variants = [
        scheme("ffa", plain),
        scheme("ffa", by_a),
        scheme("fedsvd", by_a),
        scheme("fedsvd", by_a, refactor_every=5),
        scheme("rolora", by_a),
        scheme("fedsb", start("fedsb")),
        scheme("powersgd", plain),
        scheme("ffa", wider),
        scheme("ffa", renamed),
        scheme("ffa", start("ffa", anchors=True)),
        make_factorization(
            UpdateConfig(factorization="powersgd", rank=2), {n: v.shape for n, v in plain.items()}
        ),
    ]
    digests = [one.digest for one in variants]
    same = {digests[0], digests[1]}
    assert len(same) == 1, "ffa sends the same whether or not the state holds its A"
    assert len(set(digests)) == len(digests) - 1
    assert all(len(digest) == 64 for digest in digests)


@pytest.mark.parametrize("refused", ["lora_both", "fedex", "flora"])
def test_what_does_not_add_is_no_choice(refused: str) -> None:
    with pytest.raises(ValueError, match="factorization"):
        UpdateConfig(factorization=refused)  # type: ignore[arg-type]
