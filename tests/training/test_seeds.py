from __future__ import annotations

import hashlib

from fedmrg_secure.training.seeds import round_seed


def test_the_seed_follows_its_definition() -> None:
    digest = hashlib.sha256()
    for part in (b"fedmrg/training-seed/v1", b"7", b"cedar-valley-clinic", b"3"):
        digest.update(len(part).to_bytes(8, "big") + part)
    assert round_seed(7, "cedar-valley-clinic", 3) == int.from_bytes(digest.digest()[:4], "big")


def test_sites_rounds_and_runs_differ() -> None:
    seeds = {round_seed(s, site, r) for s in (0, 1) for site in ("a", "b") for r in (1, 2)}
    assert len(seeds) == 8
