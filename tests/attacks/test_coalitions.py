"""The coordinator and sites that pool their shares of one site's key: t - 1 of them, and t."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.multiparty.scheme import RoundKey
from tests.attacks.collusion import assert_opened, key_from
from tests.attacks.consortium import Consortium
from tests.attacks.coordinator import Coordinator
from tests.attacks.site_steps import decrypt, vanish_after_upload


@pytest.mark.parametrize("weakened", [False, True])
def test_the_coordinator_with_fewer_sites_than_the_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakened: bool
) -> None:
    consortium = Consortium(tmp_path, 5)
    threshold = consortium.manifest.quorum.threshold(5)
    if weakened:
        shares = RoundKey.shares
        monkeypatch.setattr(RoundKey, "shares", lambda key, n, t: shares(key, n, t - 1))
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, vanish_after_upload))
    key = key_from(consortium, coordinator, "s01", threshold - 1)
    parameters, digest = coordinator.parameters, coordinator.plan_hash
    if weakened:
        opened = decrypt(parameters, digest, key, coordinator.uploads["s01"], 1)
        assert_opened(consortium, opened, ["s01"])
    else:
        with pytest.raises(OpeningRefused):
            decrypt(parameters, digest, key, coordinator.uploads["s01"], 1)


def test_the_threshold_is_tight(tmp_path: Path) -> None:
    """With t sites it must succeed: the claim names the coalition that can."""
    consortium = Consortium(tmp_path, 5)
    coordinator = Coordinator(consortium.manifest, consortium.plan())
    consortium.play(coordinator, dict.fromkeys(consortium.members, vanish_after_upload))
    key = key_from(consortium, coordinator, "s01", consortium.manifest.quorum.threshold(5))
    opened = decrypt(
        coordinator.parameters, coordinator.plan_hash, key, coordinator.uploads["s01"], 1
    )
    assert_opened(consortium, opened, ["s01"])
