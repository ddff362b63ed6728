from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.federation.plan import make_plan
from fedmrg_secure.federation.run_folder import RunFolder
from fedmrg_secure.federation.session import decimal, pin_session
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit


@given(st.floats(min_value=1e-4, max_value=1e15))
def test_a_decimal_reads_back_as_the_same_number(value: float) -> None:
    text = decimal(value)
    assert float(text) == value
    assert re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text)


def test_whoever_pins_a_session_without_data_pins_the_same_terms(tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {
            "name": "ward",
            "data": {"source": "phantom", "patients_per_centre": 10, "image_size": 32},
            "secure_aggregation": {"acknowledge_collusion_risk": True},
        }
    )
    plan = make_plan(config)
    provision_throwaway(tmp_path, "ward", plan.sites, "127.0.0.1")
    with_data = plan.write_session(RunFolder(tmp_path))
    without = pin_session(config, load_kit(tmp_path / "coordinator" / "kit").roster)
    assert with_data.nonce != without.nonce
    assert with_data.session_id != without.session_id
    assert replace(with_data, nonce=without.nonce) == without
