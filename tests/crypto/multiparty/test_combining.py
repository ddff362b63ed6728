"""The sum's key from share sums of which some are wrong: by accident, and chosen together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.crypto.errors import OpeningRefused, SharesInconsistent
from fedmrg_secure.crypto.multiparty import combining, shamir
from fedmrg_secure.crypto.multiparty.scheme import (
    CkksMultiparty,
    KeyShare,
    RoundKey,
    SumKey,
    add_shares,
    combine,
)
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS as Q
from tests.crypto.multiparty.federation import PLAN, Federation, parameters_for, updates

PARAMETERS = parameters_for(3)
N = 2048


def secret_of(key: SumKey | RoundKey) -> np.ndarray:
    return key._secret.coefficients


def wrong(share: KeyShare, place: int = 0) -> KeyShare:
    coefficients = share.coefficients.copy()
    coefficients[place] = (int(coefficients[place]) + 1) % Q
    return KeyShare(share.holder, SecretPolynomial(coefficients))


class TestWrongShares:
    @pytest.fixture
    def shares(self) -> list[KeyShare]:
        return list(RoundKey.generate(PARAMETERS).shares(9, 5))

    @pytest.mark.parametrize("bad", [[0], [8], [2, 5], [0, 1]])
    def test_up_to_half_of_the_spare_shares_are_named(
        self, shares: list[KeyShare], bad: list[int]
    ) -> None:
        secret = secret_of(combine(shares, 5))
        for place in bad:
            shares[place] = wrong(shares[place], place)
        combined = combine(shares, 5)
        np.testing.assert_array_equal(secret_of(combined), secret)
        assert combined.wrong_holders == tuple(place + 1 for place in bad)

    def test_more_cannot_be_told(self, shares: list[KeyShare]) -> None:
        for place in (0, 3, 6):
            shares[place] = wrong(shares[place])
        with pytest.raises(SharesInconsistent, match="cannot be told"):
            combine(shares, 5)

    def test_one_spare_share_says_that_something_is_wrong_not_what(
        self, shares: list[KeyShare]
    ) -> None:
        shares[2] = wrong(shares[2])
        with pytest.raises(SharesInconsistent):
            combine(shares[:6], 5)

    def test_too_few_and_the_same_twice(self, shares: list[KeyShare]) -> None:
        with pytest.raises(SharesInconsistent, match="fewer than the threshold"):
            combine(shares[:4], 5)
        with pytest.raises(SharesInconsistent, match="twice"):
            combine([*shares[:5], shares[0]], 5)
        with pytest.raises(SharesInconsistent, match="at least one"):
            add_shares([])
        with pytest.raises(SharesInconsistent):
            add_shares(shares[:2])


class TestWithTheCheckBlock:
    """One share more than the threshold and the last chunk are enough to name a wrong share."""

    federation = Federation(parameters_for(4), updates(4, 3000, 10_000), threshold=3)

    def check(self, key: SumKey) -> None:
        scheme = CkksMultiparty(self.federation.parameters, PLAN, self.federation.count)
        scheme.check_sum_key(key, self.federation.summed()[-1], 4)

    @pytest.mark.parametrize("bad", range(4))
    def test_a_wrong_share_sum_is_named(self, bad: int) -> None:
        sums = self.federation.share_sums()
        secret = secret_of(combine(sums, 3))
        sums[bad] = wrong(sums[bad], 1500)
        combined = combine(sums, 3, check=self.check)
        assert combined.wrong_holders == (bad + 1,)
        np.testing.assert_array_equal(secret_of(combined), secret)

    def test_without_a_spare_share_the_sum_is_refused(self) -> None:
        sums = self.federation.share_sums()[:3]
        combine(sums, 3, check=self.check)
        sums[0] = wrong(sums[0])
        with pytest.raises(OpeningRefused):
            combine(sums, 3, check=self.check)

    def test_a_share_sum_over_other_sites_is_named(self) -> None:
        sums = self.federation.share_sums()
        sums[1] = self.federation.share_sums([0, 1, 2])[1]
        assert combine(sums, 3, check=self.check).wrong_holders == (2,)

    def test_shares_of_another_sum_are_refused(self) -> None:
        with pytest.raises(OpeningRefused):
            combine(self.federation.share_sums([0, 1, 2]), 3, check=self.check)


class Collusion:
    """Share sums to which some holders have added the values of one polynomial of low degree.

    Args:
        count: holders.
        threshold: of the sharing.
        bad: the holders that collude.
        roots: where the polynomial that they add is zero: at honest holders it also fits, and at 0
            it leaves S as it is.
    """

    def __init__(
        self, count: int, threshold: int, bad: Collection[int], roots: Iterable[int]
    ) -> None:
        random = np.random.default_rng(1)
        self.threshold = threshold
        self.secret = random.integers(0, Q, N, dtype=np.uint32)
        rows = shamir.split(self.secret, count, threshold, key=bytes(32)).astype(np.int64)
        stretch = random.integers(1, Q, N)
        for holder in bad:
            added = math.prod(holder - root for root in roots) % Q
            rows[holder - 1] = (rows[holder - 1] + added * stretch) % Q
        self.shares = [
            KeyShare(holder, SecretPolynomial(row.astype(np.uint32)))
            for holder, row in enumerate(rows, 1)
        ]
        self.tried: list[SumKey] = []

    def check(self, key: SumKey) -> None:
        self.tried.append(key)
        if not self.gives_secret(key):
            raise OpeningRefused("not the sum's key")

    def gives_secret(self, key: SumKey) -> bool:
        return np.array_equal(secret_of(key), self.secret)

    def combine(self, colluders: int = 0) -> SumKey:
        """With the check; every key that it has refused must be gone afterwards."""
        self.tried.clear()
        key = combine(self.shares, self.threshold, check=self.check, colluders=colluders)
        assert self.gives_secret(key)
        for other in self.tried:
            assert other is key or not other._secret.is_alive
        return key


class TestCollusion:
    def test_a_wrong_word_that_is_nearer_than_the_right_one(self) -> None:
        """Two of seven make a polynomial that t - 1 honest holders fit as well: one is left off."""
        collusion = Collusion(7, 5, bad=(6, 7), roots=(1, 2, 3, 4))
        nearest = combine(collusion.shares, 5)
        assert not collusion.gives_secret(nearest), "without a check nobody can tell"
        assert nearest.wrong_holders == (5,), "and an honest holder is blamed, as is documented"
        assert collusion.combine().wrong_holders is None
        assert collusion.combine(colluders=2).wrong_holders is None
        assert combine(collusion.shares, 5, colluders=2).wrong_holders is None

    def test_a_wrong_polynomial_with_the_right_secret_blames_nobody(self) -> None:
        """What they add is 0 at 0: any five of these give S, and two honest holders do not fit."""
        collusion = Collusion(7, 5, bad=(1, 2), roots=(0, 3, 4, 5))
        assert collusion.combine().wrong_holders is None
        assert collusion.combine(colluders=2).wrong_holders is None

    def test_within_the_code_s_radius_too(self) -> None:
        """Four of ten: the wrong polynomial is a nearest word, gives S, and leaves out one."""
        collusion = Collusion(10, 8, bad=(7, 8, 9, 10), roots=(0, 1, 2, 3, 4, 5))
        assert combine(collusion.shares, 8, check=collusion.check).wrong_holders == (6,)
        assert collusion.combine(colluders=4).wrong_holders is None

    def test_one_of_five_is_told_with_a_check(self) -> None:
        for roots in ((1, 2, 4), (0, 1, 2), (0, 4, 5)):
            collusion = Collusion(5, 4, bad=(3,), roots=roots)
            assert collusion.combine(colluders=1).wrong_holders == (3,)

    def test_without_a_spare_share_nothing_helps(self) -> None:
        collusion = Collusion(5, 5, bad=(3,), roots=(1, 2))
        with pytest.raises(OpeningRefused):
            collusion.combine()
        assert len(collusion.tried) == 1
        assert not collusion.tried[0]._secret.is_alive

    def test_if_all_that_agree_are_wrong_it_says_so(self) -> None:
        collusion = Collusion(6, 5, bad=(5, 6), roots=(1, 2, 3))
        with pytest.raises(SharesInconsistent, match="no 5 of 6 shares"):
            collusion.combine()
        assert not any(key._secret.is_alive for key in collusion.tried)

    def test_subsets_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        collusion = Collusion(7, 5, bad=(6, 7), roots=(1, 2, 3, 4))
        monkeypatch.setattr(combining, "MAX_SUBSETS", 21)
        collusion.combine()
        monkeypatch.setattr(combining, "MAX_SUBSETS", 20)
        with pytest.raises(SharesInconsistent, match="of 21 subsets of 5 at most 20") as refused:
            collusion.combine()
        assert "more holders" in str(refused.value.hint)

    def test_a_check_that_fails_otherwise_leaves_no_key(self) -> None:
        collusion, seen = Collusion(5, 4, bad=(), roots=()), []

        def check(key: SumKey) -> None:
            seen.append(key)
            raise ValueError("the last chunk is not one")

        with pytest.raises(ValueError, match="the last chunk"):
            combine(collusion.shares, 4, check=check)
        assert not seen[0]._secret.is_alive

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_who_is_named_is_guilty(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(3, 9))
        colluders = data.draw(st.integers(1, count - 2))
        threshold = (count + colluders) // 2 + 1
        published = data.draw(st.integers(threshold, count))
        holders = range(1, published + 1)
        bad = data.draw(st.sets(st.sampled_from(holders), max_size=colluders))
        honest = [holder for holder in holders if holder not in bad]
        roots = data.draw(st.permutations([0, *honest]))[: threshold - 1]
        collusion = Collusion(published, threshold, bad, roots)
        try:
            key = collusion.combine(colluders)
        except (OpeningRefused, SharesInconsistent):
            assert published - len(bad) < threshold
            return
        if key.wrong_holders is None:
            assert bad
        elif key.wrong_holders:
            assert set(key.wrong_holders) == bad
        if len(bad) <= published - threshold + 1 - colluders and 0 not in roots:
            assert key.wrong_holders == tuple(sorted(bad))
