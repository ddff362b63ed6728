from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.cli.places import CAUSES
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.privacy.events import GridNoise, PoissonSampling, PrivacyEvent
from fedmrg_secure.privacy.ledger import Ledger, ledger_path

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
name: ward
data:
  source: phantom
  patients_per_centre: 12
  patients_per_unseen_centre: 4
secure_aggregation:
  scheme: ckks-shared
  acknowledge_collusion_risk: true
training:
  rounds: 3
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "ward.yaml"
    path.write_text(GOOD)
    return path


def test_a_sound_configuration_gets_its_cost(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["validate", str(config_file), "--json", "--set", "training.rounds=2"]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert "is sound" in captured.err
    sent, sites = figures["parameters"]["sent"], len(figures["sites"])
    assert 0 < sent < figures["parameters"]["total"]
    assert sites == 4
    assert len(figures["unseen"]) == 2
    up, down = (figures["bytes_per_round_per_site"][way] for way in ("up", "down"))
    # 54-bit residues of two values are 3.4 bytes a value; headers, seeds, padding come on top.
    assert 27 / 8 * sent < up <= 3.6 * sent
    assert up < down <= 3.6 * sent
    assert figures["total_bytes"] == 2 * sites * (up + down)
    assert figures["error_bound_of_clip_norm"] <= 1e-5
    assert figures["memory_mb"]["site"] > figures["memory_mb"]["coordinator"] > 0


def test_the_readme_says_what_the_quick_start_sends(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["validate", str(ROOT / "configs" / "quickstart.yaml"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    sent, total = figures["parameters"]["sent"], figures["parameters"]["total"]
    size = figures["bytes_per_round_per_site"]["up"] / 1024
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"sends {sent:,} of {total:,} parameters in {size:.0f} KiB" in readme


def test_a_factorisation_of_two_passes_is_counted_with_both(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--json", "--set", "update.factorization=powersgd"]
    assert run_command(["validate", str(config_file), *options]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    sent, total = figures["parameters"]["sent"], figures["parameters"]["total"]
    assert (figures["factorization"], figures["passes"], figures["rounds"]) == ("powersgd", 2, 3)
    assert f"{sent:,} of {total:,} parameters, {sent / total:.2%}" in captured.err
    assert "2 passes a round" in captured.err
    up, down = (figures["bytes_per_round_per_site"][way] for way in ("up", "down"))
    # Each pass has headers, seeds and a last block of its own.
    assert 27 / 8 * sent < up < down <= 3.8 * sent
    assert figures["total_bytes"] == 3 * 4 * (up + down)
    assert figures["parameters"]["specialized"] > 0


def test_mistakes_come_all_at_once_and_nothing_is_computed(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text(GOOD.replace("rounds", "ronds") + "seed: x\n")
    assert run_command(["validate", str(config_file)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{config_file}:10:3  FMRG-1004" in captured.err
    assert f"{config_file}:11:7  FMRG-1006" in captured.err
    assert captured.err.endswith("2 errors; nothing was started.\n")


def test_an_error_bound_above_the_allowed_one_is_refused(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["validate", str(config_file), "--set", "update.precision_bits=8"]) == 2
    assert "secure_aggregation.max_error" in capsys.readouterr().err


def test_the_data_is_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "real.yaml"
    path.write_text(
        "name: real\n"
        "data: {source: manifest, root: nowhere, participating: [A, B]}\n"
        "secure_aggregation: {scheme: insecure-plaintext, acknowledge_plaintext: true}\n"
    )
    assert run_command(["validate", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"{path}:2:32  FMRG-2101  ")


def test_errors_of_planning_point_to_the_file_too(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text(GOOD + "federation: {sites: [nowhere-clinic, spain, italy]}\n")
    assert run_command(["validate", str(config_file)]) == 2
    assert capsys.readouterr().err.startswith(f"{config_file}:11:21  FMRG-6001  ")
    assert run_command(["validate", str(config_file), "--set", "federation.sites=[a, b, c]"]) == 2
    assert capsys.readouterr().err.startswith("--set federation.sites  FMRG-6001  ")


def test_every_cause_is_a_key_and_every_code_exists() -> None:
    codes = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    for code, (section, key) in CAUSES.items():
        assert f"| {code} |" in codes
        assert key in RunConfig.model_fields[section].annotation.model_fields  # type: ignore[union-attr]


def test_a_site_of_a_real_federation_checks_its_own_data(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "federation.sites=[cedar-valley-clinic, st-anna, charite]"
    command = ["validate", str(config_file), "--json", "--set", own]
    assert run_command([*command, "--site", "cedar-valley-clinic"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["sites"] == ["cedar-valley-clinic", "charite", "st-anna"]
    assert list(figures["training_records"]) == ["cedar-valley-clinic"]
    assert figures["scheme"]["sites"] == 3
    assert run_command([*command, "--site", "karolinska"]) == 2
    assert "FMRG-6001" in capsys.readouterr().err
    assert run_command([*command, "--site", "st-anna"]) == 2
    assert "FMRG-2001" in capsys.readouterr().err


PRIVATE = """\
name: ward
data:
  source: phantom
  patients_per_centre: 60
secure_aggregation:
  scheme: ckks-multiparty
training:
  rounds: 3
  local_steps: 2
  boosting: one_way
privacy:
  target_epsilon: 4
  expected_batch: 8
"""


def _validated(
    path: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[dict[str, Any], str]:
    assert run_command(["validate", str(path), "--json", *options]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_a_private_run_shows_its_epsilon_by_site(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ward.yaml"
    path.write_text(PRIVATE)
    figures, said = _validated(path, capsys)
    sites = figures["privacy"]["sites"]
    assert list(sites) == figures["sites"]
    for each in sites.values():
        assert each["unit"] == "patient"
        assert 0.99 * 4 < each["epsilon"] <= 4
        assert (each["population"], each["steps"]) == (42, 6)
        assert each["sampling_rate"] == pytest.approx(8 / 42)
        assert (each["ledger"], each["remaining"], each["epsilon_after"]) == (
            None, 8.0, each["epsilon"],
        )  # fmt: skip
    assert figures["privacy"]["warnings"] == []
    assert f"{sites[figures['sites'][0]]['epsilon']:.3f}" in said


def test_the_epsilon_comes_before_any_data_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"source: manifest\n  root: {tmp_path}/absent\n  participating: [Spain, Italy]"
    path = tmp_path / "ward.yaml"
    text = PRIVATE.replace("source: phantom\n  patients_per_centre: 60", data)
    path.write_text(text + "  population: {spain: 400, italy: 90}\n")
    assert run_command(["validate", str(path)]) == 2
    captured = capsys.readouterr()
    assert "0.02 of 400" in captured.out + captured.err
    assert "is sound" not in captured.out + captured.err


def test_a_private_run_is_set_against_what_the_ledger_has_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ward.yaml"
    path.write_text(PRIVATE + f"  ledgers: {tmp_path}/ledgers\n")
    place = ledger_path(tmp_path / "ledgers/cedar-valley-clinic", "phantom", "patient", 1e-5)
    ledger = Ledger.open(place, dataset="phantom", unit="patient", delta=1e-5, budget=5.0, units=42)
    event = PrivacyEvent(GridNoise(Fraction(2**32), Fraction(2**32), 9), PoissonSampling(0.2), 2)
    spent = ledger.reserve(event, "earlier", 1).epsilon_after
    figures, said = _validated(path, capsys)
    sites = figures["privacy"]["sites"]
    cedar = sites["cedar-valley-clinic"]
    assert (cedar["ledger"], cedar["budget"]) == (str(place), 5.0)
    assert cedar["remaining"] == pytest.approx(5.0 - spent)
    # Together they cost more than each alone, and less than their sum.
    assert max(spent, cedar["epsilon"]) < cedar["epsilon_after"] < spent + cedar["epsilon"]
    assert "warning" not in said

    figures, said = _validated(path, capsys, "--set", "privacy.budget=4.2")
    assert "warning: cedar-valley-clinic: the run would bring its data to epsilon" in said
    assert len(figures["privacy"]["warnings"]) == 1
    assert len(ledger.view().spendings) == 1  # to look costs nothing


def test_a_weak_guarantee_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ward.yaml"
    path.write_text(PRIVATE)
    options = ["privacy.unit=record", "privacy.target_epsilon=12", "privacy.budget=20"]
    sets = [word for option in options for word in ("--set", option)]
    _, said = _validated(path, capsys, *sets)
    assert "is above 8: at that size the bound says little" in said
    assert "patients of phantom have up to 2 studies, and lose more than 2 times as much" in said
    manifest = f"source: manifest\n  root: {tmp_path}\n  participating: [Spain, Italy, France]"
    text = PRIVATE.replace("source: phantom\n  patients_per_centre: 60", manifest)
    path.write_text(text + "  population: 400\n")
    assert run_command(["validate", str(path), *sets]) == 2  # there are no data
    captured = capsys.readouterr()
    assert "a patient with k records loses more" in " ".join((captured.out + captured.err).split())


def test_a_delta_that_allows_to_publish_a_patient_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ward.yaml"
    path.write_text(PRIVATE + "  delta: 0.03\n")
    assert run_command(["validate", str(path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{path}:14:10" in said
    assert "privacy.delta must be below 1/n = 2.4e-02 for 42 units, got 0.03" in said
    assert "take 2e-03 or less" in said
