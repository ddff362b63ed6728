"""A coordinator that hands out another sum than that of the included uploads.

Under the key of the included sites it opens to noise. Three checks stop that, each by itself: the
zeros at the end of the vector, the range of what is opened, and the norm of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client import opening
from fedmrg_secure.client.policy import AggregateRefused
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.multiparty import scheme
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS
from tests.attacks.collusion import sum_error_bound
from tests.attacks.consortium import Consortium
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import VALUES

SITES = ["s01", "s02", "s03"]


class Swapper(Coordinator):
    """Replaces the sum by one site's upload."""

    def sum_for(self, site: str) -> ResidueVector:
        return self.add(["s01"])


def open_whatever_ends(
    self: CkksMultiparty,
    index: int,
    residues: ResidueVector,
    openers: Sequence[bytes],
    value_count: int,
) -> IntVector:
    """`open_chunk` of a scheme whose vectors do not end in zeros."""
    assert self._sum_key is not None
    blocks = self._checked(index, residues, len(openers))
    opened = self._open(self._sum_key, self._first_block(index), blocks)
    scheme.check_sum(opened, len(openers), self._parameters)
    return opened.reshape(-1)[:value_count]


def take_away(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    if check == "zeros":
        monkeypatch.setattr(CkksMultiparty, "open_chunk", open_whatever_ends)
        monkeypatch.setattr(CkksMultiparty, "check_sum_key", lambda *_: None)
    elif check == "range":
        monkeypatch.setattr(scheme, "check_sum", lambda *_: None)
    else:
        assert check == "norm"
        monkeypatch.setattr(opening, "l2_norm", lambda _: 0.0)


CHECKS = {"zeros": OpeningRefused, "range": OpeningRefused, "norm": AggregateRefused}


def test_a_sum_replaced_by_one_upload_is_refused(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, 3)
    with pytest.raises(OpeningRefused, match="check block"):
        consortium.play(Swapper(consortium.manifest, consortium.plan()))
    assert all(member.result is None for member in consortium.members.values())


@pytest.mark.parametrize("left", CHECKS)
def test_each_check_of_an_opened_sum_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    for check in set(CHECKS) - {left}:
        take_away(monkeypatch, check)
    consortium = Consortium(tmp_path, 3)
    with pytest.raises(FedmrgError) as caught:
        consortium.play(Swapper(consortium.manifest, consortium.plan()))
    assert type(caught.value) is CHECKS[left]
    assert all(member.result is None for member in consortium.members.values())


def test_without_the_checks_of_an_opened_sum_noise_would_be_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check in CHECKS:
        take_away(monkeypatch, check)
    consortium = Consortium(tmp_path, 3)
    consortium.play(Swapper(consortium.manifest, consortium.plan()))
    for member in consortium.members.values():
        assert member.result is not None
        assert np.abs(member.result - consortium.total(SITES)).max() > 100_000
        assert member.site.store.applied() == member.applied
        assert member.site.store.applied().training_round == 1


class Adder(Coordinator):
    """Adds up what it should, and a vector of its own that it does not even encrypt."""

    own: IntVector = np.arange(VALUES) % 17 * 100

    def sum_for(self, site: str) -> ResidueVector:
        total, modulus = self.add(SITES), self.parameters.modulus
        scaled = self.own * self.parameters.scale * modulus // RING_MODULUS
        total[:VALUES] = (total[:VALUES] + scaled.astype(total.dtype)) % modulus
        return total


def test_what_whoever_adds_adds_itself_is_not_seen(tmp_path: Path) -> None:
    """A limit, not a defence: residues can be added to by anybody who carries them. It is within
    what one more site could send, and tells its author nothing."""
    consortium = Consortium(tmp_path, 3)
    consortium.play(Adder(consortium.manifest, consortium.plan()))
    for member in consortium.members.values():
        assert member.result is not None
        error = np.abs(member.result - consortium.total(SITES) - Adder.own).max()
        assert error <= sum_error_bound(consortium, 3) + 1
