"""Opening a downloaded sum: exact, or refused once and for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client.keyring import KeySpoiled, scheme_of_round
from fedmrg_secure.client.opening import apply_sum, open_sum
from fedmrg_secure.client.policy import AggregateRefused
from fedmrg_secure.client.private_store import PrivateStore
from fedmrg_secure.client.progress import ProgressLines, Stopwatch
from fedmrg_secure.client.state import Applied, SiteStore, hash_state
from fedmrg_secure.core.config import UpdateConfig
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, encode_frame
from fedmrg_secure.crypto.residues import add_mod
from fedmrg_secure.crypto.schemes import make_scheme, new_key
from fedmrg_secure.protocol.messages import AggregateInfo, IncludedSite
from fedmrg_secure.update.factorization import make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint
from tests.client.memory import MemoryKeeper

PARAMETERS = check_capacity("ckks-shared", sites=2, clip_norm=1.0, precision_bits=20)
CODEC = FixedPoint(1.0, 20)
SESSION = bytes(range(32))
SIZE = 5000
FACTORIZATION = make_factorization(UpdateConfig(factorization="ffa"), {"adapter": (SIZE,)})


def updates() -> list[Any]:
    random = np.random.default_rng(3)
    vectors = [random.normal(size=SIZE) for _ in range(2)]
    return [vector / np.linalg.norm(vector) for vector in vectors]


class Federation:
    """One site with a real key, and the frames of a real sum of two uploads."""

    def __init__(self, folder: Path, alter: Callable[[ResidueVector], None]) -> None:
        self.key = new_key(PARAMETERS)
        self.store = SiteStore(folder)
        self.store.save_key(1, self.key)
        self.frames = list(self._frames(alter))
        leaves = tuple(leaf_hash(frame) for frame in self.frames)
        self.aggregate = AggregateInfo(
            round=1,
            plan_hash=bytes(32),
            key_epoch=1,
            key_maker="b",
            inclusion_hash=b"",
            included=tuple(IncludedSite(name, 1, bytes(32)) for name in ("a", "b")),
            chunk_hashes=leaves,
            merkle_root=merkle_root(leaves),
            total_bytes=sum(map(len, self.frames)),
        )
        self.events: list[Any] = []
        private = PrivateStore(folder)
        private.save(0, {"specialized.adapter": np.ones(2, dtype=np.float32)})
        self.site: Any = SimpleNamespace(
            name="a",
            session=SESSION,
            parameters=PARAMETERS,
            factorization=FACTORIZATION,
            trainer=MemoryKeeper(FACTORIZATION),
            private=private,
            codec=CODEC,
            store=self.store,
            progress=ProgressLines(SimpleNamespace(write=lambda _: None, flush=lambda: None)),  # type: ignore[arg-type]
            coordinator=SimpleNamespace(download=lambda *_, **__: iter(self.frames)),
            manifest=SimpleNamespace(weights={"a": 1, "b": 1}, shared_key=True, round_keys=False),
            log=self.events.append,
        )

    def _frames(self, alter: Callable[[ResidueVector], None]) -> Iterator[bytes]:
        scheme = make_scheme(PARAMETERS, self.key)
        for index in range(PARAMETERS.chunk_count(SIZE)):
            place = PARAMETERS.chunk_slice(index, SIZE)
            chunks = [
                scheme.encrypt_chunk(index, CODEC.encode(update)[place]) for update in updates()
            ]
            total = chunks[0].residues.copy()
            add_mod(total, chunks[1].residues, PARAMETERS.modulus)
            alter(total)
            header = FrameHeader.of_chunk(
                PARAMETERS,
                session=SESSION,
                round=1,
                sender=AGGREGATE,
                chunk_index=index,
                value_count=SIZE,
                contributors=2,
            )
            yield encode_frame(header, total, b"".join(chunk.openers for chunk in chunks))

    def open(self) -> Any:
        scheme = scheme_of_round(self.site, self.aggregate)
        return open_sum(self.site, scheme, self.aggregate, Stopwatch())


def unaltered(_: ResidueVector) -> None:
    return


def one_residue_off(total: ResidueVector) -> None:
    total[17] = (int(total[17]) + PARAMETERS.modulus // 3) % PARAMETERS.modulus


def test_the_opened_sum_is_exact(tmp_path: Path) -> None:
    federation = Federation(tmp_path, unaltered)
    expected = sum(CODEC.encode(update) for update in updates())
    np.testing.assert_array_equal(federation.open(), expected)


def test_an_altered_sum_spoils_the_key_for_good(tmp_path: Path) -> None:
    federation = Federation(tmp_path, one_residue_off)
    with pytest.raises(OpeningRefused):
        federation.open()
    federation.site.store = SiteStore(tmp_path)  # as after a restart
    with pytest.raises(KeySpoiled, match="epoch 1"):
        federation.open()


@pytest.mark.parametrize("listed", [1, 2])
def test_a_sum_of_another_number_of_chunks_is_refused_before_a_download(
    tmp_path: Path, listed: int
) -> None:
    federation = Federation(tmp_path, unaltered)
    federation.site.factorization = make_factorization(
        UpdateConfig(factorization="ffa"), {"adapter": (PARAMETERS.chunk_values * (3 - listed),)}
    )
    federation.frames = federation.frames[:1] * listed
    leaves = tuple(leaf_hash(frame) for frame in federation.frames)
    federation.aggregate = replace(
        federation.aggregate, chunk_hashes=leaves, merkle_root=merkle_root(leaves)
    )
    federation.site.coordinator = SimpleNamespace()
    with pytest.raises(AggregateRefused, match="chunks"):
        federation.open()


def test_the_mean_is_applied_kept_and_logged(tmp_path: Path) -> None:
    federation = Federation(tmp_path, unaltered)
    base = {"adapter": np.zeros(SIZE, dtype=np.float32)}
    before = Applied("ab" * 32, 0, 0, "", hash_state(base), "00" * 32)
    after = apply_sum(federation.site, federation.aggregate, base, federation.open(), before)
    mean = sum(updates()) / 2
    state = federation.store.load_state(1)
    bound = CODEC.error_bound(2, Fraction(2)) + 1e-7  # the grid, and float32
    assert np.abs(state["adapter"] - mean).max() <= bound
    assert after.model_hash == hash_state(state)
    assert federation.store.applied() == after
    assert federation.events[0]["transcript_hash"] == after.transcript != before.transcript
    assert federation.site.private.load(1)["specialized.adapter"].tolist() == [1, 1]


def test_a_mean_beyond_the_clip_bound_is_refused(tmp_path: Path) -> None:
    federation = Federation(tmp_path, unaltered)
    base = {"adapter": np.zeros(SIZE, dtype=np.float32)}
    before = Applied("ab" * 32, 0, 0, "", hash_state(base), "00" * 32)
    too_long = np.full(SIZE, CODEC.max_abs_value // 10, dtype=np.int64)
    with pytest.raises(AggregateRefused, match="norm"):
        apply_sum(federation.site, federation.aggregate, base, too_long, before)
    assert federation.store.applied() is None
    assert not federation.events


def test_another_model_than_the_expected_one_is_not_kept(tmp_path: Path) -> None:
    federation = Federation(tmp_path, unaltered)
    base = {"adapter": np.zeros(SIZE, dtype=np.float32)}
    before = Applied("ab" * 32, 0, 0, "", hash_state(base), "00" * 32)
    total = federation.open()
    with pytest.raises(AggregateRefused, match="does not lead to the federation's model"):
        apply_sum(federation.site, federation.aggregate, base, total, before, expected=bytes(32))
    assert not list(tmp_path.glob("round-*"))
    assert not list(tmp_path.glob("private-0001*"))
    assert not federation.events
    mean = federation.site.codec.decode(total, Fraction(2))
    known = bytes.fromhex(hash_state(FACTORIZATION.apply(1, base, mean)))
    after = apply_sum(federation.site, federation.aggregate, base, total, before, expected=known)
    assert federation.store.applied() == after
