"""Errors of a configuration that say more than which values are allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmrg_secure.core.errors import ErrorGroup
from fedmrg_secure.core.yaml_source import load_run_config

GOOD = """\
name: ward
data:
  source: phantom
secure_aggregation:
  scheme: ckks-shared
  acknowledge_collusion_risk: true
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lora_both", "the mean of products B A is not the product of the means"),
        ("fedex", "multiply every site's B by its A"),
        ("flora", "stack all sites' factors"),
    ],
)
def test_what_does_not_add_under_encryption_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("ward.yaml")
    path.write_text(f"{GOOD}update:\n  factorization: {name}\n")
    with pytest.raises(ErrorGroup) as caught:
        load_run_config(path)
    (error,) = caught.value.errors
    assert (error.location, error.code) == ("ward.yaml:8:18", "FMRG-1008")
    assert error.message.startswith(f"update.factorization cannot be '{name}': ")
    assert reason in error.message
    assert "adds ciphertexts" in error.message
    assert error.hint == "choose 'ffa', 'fedsvd', 'rolora', 'fedsb' or 'powersgd'"
