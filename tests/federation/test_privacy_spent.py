"""What a run's summary says of the sites' ledgers, readable or not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from fedmrg_secure.client.privacy import open_ledger, site_ledger_path
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.federation.privacy_spent import privacy_spent
from fedmrg_secure.privacy.events import GridNoise, PoissonSampling, PrivacyEvent

EVENT = PrivacyEvent(GridNoise(Fraction(2**32), Fraction(2**32), 100), PoissonSampling(0.1), 10)
CONFIG = RunConfig.model_validate(
    {"name": "run", "data": {"source": "phantom"}, "privacy": {"noise_multiplier": 1.0}}
)


def test_a_ledger_that_cannot_be_read_does_not_keep_the_rest_back(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("broken", "gone", "idle", "whole")}
    for name in ("broken", "gone", "whole"):
        ledger = open_ledger(CONFIG, name, folders[name])
        assert ledger is not None
        ledger.settle(ledger.reserve(EVENT, "this", 1))
        ledger.settle(ledger.reserve(EVENT, "before", 1))
    path = site_ledger_path(CONFIG, "broken", folders["broken"])
    path.write_bytes(path.read_bytes().replace(b"this", b"that"))
    site_ledger_path(CONFIG, "gone", folders["gone"]).unlink()

    found = privacy_spent(CONFIG, "this", folders)

    assert set(found) == {"broken", "gone", "whole"}
    assert found["broken"]["unreadable"] == found["gone"]["unreadable"] == "FMRG-4641"
    assert "ledger is gone" in found["gone"]["reason"]
    assert found["whole"]["rounds"] == 1
    assert found["whole"]["epsilon"] < found["whole"]["spent"]
    assert found["whole"]["remaining"] == pytest.approx(8.0 - found["whole"]["spent"])
