"""Reference strings that somebody chooses or repeats, and keys that serve twice.

Two things keep two updates from meeting under one a_k and one key: a site takes no plan without a
fresh nonce of its own, so no reference string comes back, and it makes a new key whenever it
encrypts. Each is enough by itself; without both the coordinator reads the updates' difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import policy, schemes
from fedmrg_secure.client.policy import PlanRefused
from fedmrg_secure.client.signing_record import SigningRecord
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import KeySpent
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty import scheme as multiparty
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, RoundKey
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS
from fedmrg_secure.crypto.parameters import SchemeParameters
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import VALUES, commit_update, encrypt, publish_only, upload

# ---- a reference string that the coordinator chooses


def readable(parameters: SchemeParameters, residues: ResidueVector) -> IntVector:
    """What whoever has no key reads from residues: grid steps, if a_k s is not in them."""
    modulus = parameters.modulus
    signed = residues[:VALUES].astype(np.int64)
    signed = np.where(signed > modulus // 2, signed - modulus, signed)
    steps: IntVector = np.rint(signed * (RING_MODULUS / modulus) / parameters.scale)
    return steps.astype(np.int64)


@pytest.mark.parametrize("weakened", [False, True])
def test_a_chosen_reference_string(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    """a_k = 0, where sites would take a_k from the coordinator instead of from the plan's hash."""
    if weakened:
        take = multiparty.ReferenceString.take
        monkeypatch.setattr(
            multiparty.ReferenceString, "take", lambda *args: np.zeros_like(take(*args))
        )
    consortium = Consortium(tmp_path, 3)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, publish_only))
    for name, member in consortium.members.items():
        read = readable(coordinator.parameters, coordinator.uploads[name])
        if weakened:
            assert np.abs(read - member.values).max() <= 1
        else:
            assert abs(np.corrcoef(read, member.values)[0, 1]) < 0.1


# ---- a plan that the coordinator chooses, or that comes back


def test_a_plan_with_nonces_of_the_coordinators_choice_is_refused(tmp_path: Path) -> None:
    """So it cannot know a reference string before the sites have announced themselves."""
    consortium = Consortium(tmp_path, 3)
    chosen = [replace(member, nonce=b"\7" * 32) for member in consortium.plan().cohort]
    coordinator = Coordinator(consortium.manifest, replace(consortium.plan(), cohort=tuple(chosen)))
    with pytest.raises(PlanRefused, match="it does not hold this site's nonce"):
        consortium.play(coordinator, dict.fromkeys(consortium.members, commit_and_upload))
    assert not coordinator.uploads


def keep_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that encrypt everything under the key that they have made first."""
    fresh, kept = schemes.new_round_key, dict[str, SecretBytes]()

    def first(site: Any, digest: bytes) -> RoundKey:
        if site.name not in kept:
            kept[site.name] = fresh(site, digest).to_secret_bytes()
        site.store.save_round_key(digest.hex(), kept[site.name])
        return RoundKey.from_secret_bytes(kept[site.name], site.parameters)

    monkeypatch.setattr(schemes, "new_round_key", first)


def commit_again(record: SigningRecord, number: int, upload_root: str, shares_root: str) -> None:
    """A record that binds itself to whatever update comes."""
    record._change(number, upload_root=upload_root, shares_root=shares_root)


def commit_and_upload(coordinator: Coordinator, member: Member) -> None:
    commit_update(coordinator, member)
    upload(coordinator, member)


@pytest.mark.parametrize("has_fresh_key", [True, False])
@pytest.mark.parametrize("has_plan_check", [True, False])
def test_a_repeated_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_plan_check: bool, has_fresh_key: bool
) -> None:
    """After a whole round the coordinator shows its plan again, for the next update."""
    if not has_plan_check:
        monkeypatch.setattr(policy, "check_plan", lambda *_, **__: None)
        monkeypatch.setattr(SigningRecord, "commit", commit_again)
    if not has_fresh_key:
        keep_one_key(monkeypatch)
    consortium = Consortium(tmp_path, 3)
    first = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(first)
    before = {name: member.values for name, member in consortium.members.items()}
    for member in consortium.members.values():
        assert member.result is not None
        member.values = np.roll(member.values, 1) // 2
    again = Coordinator(consortium.manifest, first.plan)
    steps = dict.fromkeys(consortium.members, commit_and_upload)
    if has_plan_check:
        with pytest.raises(PlanRefused, match="from another model state; it follows another"):
            consortium.play(again, steps)
        assert not again.uploads
        return
    consortium.play(again, steps)
    for name, member in consortium.members.items():
        apart = first.uploads[name].astype(np.int64) - again.uploads[name].astype(np.int64)
        read = readable(again.parameters, (apart % again.parameters.modulus).astype(np.uint64))
        between = before[name] - member.values
        if has_fresh_key:
            assert abs(np.corrcoef(read, between)[0, 1]) < 0.1
        else:
            assert np.abs(read - between).max() <= 1


# ---- a key that serves twice


def test_a_round_key_serves_one_plan_and_one_content_only(tmp_path: Path) -> None:
    parameters = parameters_of(Consortium(tmp_path, 3))
    key = RoundKey.generate(parameters)
    values = np.arange(VALUES) % 7
    scheme = CkksMultiparty(parameters, b"\7" * 32, VALUES, key=key)
    encrypt(scheme, values)
    with pytest.raises(KeySpent):
        encrypt(scheme, values + 1)
    with pytest.raises(KeySpent):
        CkksMultiparty(parameters, b"\1" * 32, VALUES, key=key)


def test_a_key_without_a_memory_would_show_the_difference_of_two_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RoundKey, "error_key", _forgetful(RoundKey.error_key))
    parameters = parameters_of(Consortium(tmp_path, 3))
    key = RoundKey.generate(parameters)
    scheme = CkksMultiparty(parameters, b"\7" * 32, VALUES, key=key)
    first, second = np.arange(VALUES) % 701, np.arange(VALUES) % 13
    apart = encrypt(scheme, first).astype(np.int64) - encrypt(scheme, second).astype(np.int64)
    read = readable(parameters, (apart % parameters.modulus).astype(np.uint64))
    assert np.abs(read - (first - second)).max() <= 1


def _forgetful(error_key: Callable[..., bytes]) -> Callable[..., bytes]:
    def weakened(key: RoundKey, index: int, values: IntVector) -> bytes:
        key._contents.clear()
        return error_key(key, index, values)

    return weakened


def test_a_site_makes_a_new_key_whenever_it_encrypts(tmp_path: Path) -> None:
    """For one plan too: a restored disk knows nothing of the contents that a key has served."""
    site = Consortium(tmp_path, 3).members["s01"].site
    made = [schemes.new_round_key(site, b"\7" * 32).to_secret_bytes().reveal() for _ in range(2)]
    assert made[0] != made[1]


def parameters_of(consortium: Consortium) -> SchemeParameters:
    return SchemeParameters.from_json(consortium.manifest.scheme_parameters)
