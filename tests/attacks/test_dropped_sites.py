"""Sites that are lost on the way: after sharing, committing, certifying, uploading.

The round goes on with the sum of exactly the included sites, because keys are shared t of n, and
because a holder adds shares of exactly the included keys. Without either nothing is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fedmrg_secure.client import round_keys
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, RoundKey, add_shares
from tests.attacks.collusion import assert_opened, held_share
from tests.attacks.consortium import Consortium, Member
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import (
    vanish_after_certifying,
    vanish_after_commit,
    vanish_after_sharing,
    vanish_after_upload,
)

Vanish = Callable[[Coordinator, Member], None]
GONE = ["s02", "s05", "s07", "s09"]
BEFORE_UPLOAD = [vanish_after_sharing, vanish_after_commit, vanish_after_certifying]


@pytest.mark.parametrize("rule", ["threshold", "unanimous"])
def test_every_site_opens_the_sum_of_all(tmp_path: Path, rule: str) -> None:
    consortium = Consortium(tmp_path, 4, certificate=rule)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator)
    results = [member.result for member in consortium.members.values()]
    for result in results:
        assert_opened(consortium, result, list(consortium.members))
        np.testing.assert_array_equal(result, results[0])


def ten_sites(folder: Path) -> tuple[Consortium, Coordinator, list[str]]:
    """Ten sites with a threshold of six, and the six that stay."""
    consortium = Consortium(folder, 10)
    assert consortium.manifest.quorum.threshold(10) == 6
    stayed = [name for name in consortium.members if name not in GONE]
    return consortium, Coordinator(consortium.manifest, consortium.plan()), stayed


@pytest.mark.parametrize("vanish", [*BEFORE_UPLOAD, vanish_after_upload])
def test_n_minus_t_sites_may_vanish(tmp_path: Path, vanish: Vanish) -> None:
    consortium, coordinator, stayed = ten_sites(tmp_path)
    consortium.play(coordinator, dict.fromkeys(GONE, vanish))
    assert set(GONE) <= set(coordinator.deposits)
    assert (vanish is vanish_after_sharing) == (sorted(coordinator.commits) == stayed)
    included = list(consortium.members) if vanish is vanish_after_upload else stayed
    for name in stayed:
        assert_opened(consortium, consortium.members[name].result, included)


@pytest.mark.parametrize("vanish", BEFORE_UPLOAD)
def test_with_the_keys_of_all_who_shared_one_nothing_would_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vanish: Vanish
) -> None:
    """Holders that do not keep to the included set add keys whose uploads are not in the sum."""
    consortium, coordinator, stayed = ten_sites(tmp_path)

    def of_all(shares: Sequence[KeyShare]) -> KeyShare:
        holder = consortium.members[coordinator.plan.sites[shares[0].holder - 1]]
        senders = sorted(coordinator.deposits)
        return add_shares([held_share(coordinator, holder, sender) for sender in senders])

    monkeypatch.setattr(round_keys, "add_shares", of_all)
    with pytest.raises(OpeningRefused):
        consortium.play(coordinator, dict.fromkeys(GONE, vanish))
    assert sorted(coordinator.publications) == stayed
    assert all(consortium.members[name].result is None for name in stayed)


@pytest.mark.parametrize("vanish", [*BEFORE_UPLOAD, vanish_after_upload])
def test_with_keys_that_need_all_shares_nothing_would_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vanish: Vanish
) -> None:
    shares = RoundKey.shares
    monkeypatch.setattr(RoundKey, "shares", lambda key, n, t: shares(key, n, n))
    consortium, coordinator, stayed = ten_sites(tmp_path)
    with pytest.raises(OpeningRefused):
        consortium.play(coordinator, dict.fromkeys(GONE, vanish))
    assert sorted(coordinator.publications) == stayed
    assert all(consortium.members[name].result is None for name in stayed)


def test_with_one_more_gone_nothing_is_opened_and_the_next_round_works(tmp_path: Path) -> None:
    consortium, coordinator, _ = ten_sites(tmp_path)
    consortium.play(coordinator, dict.fromkeys([*GONE, "s10"], vanish_after_upload))
    assert all(member.result is None for member in consortium.members.values())
    assert not coordinator.publications
    again = Coordinator(consortium.manifest, consortium.plan(2))
    consortium.play(again)
    for member in consortium.members.values():
        assert_opened(consortium, member.result, list(consortium.members))
