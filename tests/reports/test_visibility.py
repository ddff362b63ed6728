"""The table of who sees what follows from the scheme."""

from __future__ import annotations

from typing import Any

import pytest

from fedmrg_secure.reports.visibility import NO, PART, PARTIES, YES, Visibility
from fedmrg_secure.reports.visibility import visibility as table

TERMS = {"sites": 4, "min_sites": 3, "threshold": 3, "colluders": 1}


def visibility(
    scheme: str, *, weighting: str = "uniform", **changes: Any
) -> tuple[Visibility, ...]:
    return table(scheme, weighting=weighting, **{**TERMS, **changes})


def answers(scheme: str, thing: str, weighting: str = "uniform", **changes: Any) -> dict[str, str]:
    rows = visibility(scheme, weighting=weighting, **changes)
    row = next(row for row in rows if thing in row.thing)
    return dict(zip(PARTIES, (answer for answer, _ in row.cells), strict=True))


def test_ckks_shared_keeps_updates_from_the_coordinator_but_not_from_a_coalition() -> None:
    seen = answers("ckks-shared", "One site's update")
    assert seen["Coordinator"] == NO
    assert seen["Another site"] == NO
    assert seen["Coordinator with any one site"] == YES


def test_plaintext_shows_the_coordinator_everything_sent() -> None:
    assert answers("insecure-plaintext", "One site's update")["Coordinator"] == YES
    assert answers("insecure-plaintext", "trained model")["Coordinator"] == YES


@pytest.mark.parametrize("scheme", ["ckks-multiparty", "ckks-shared", "insecure-plaintext"])
def test_data_never_leave_and_the_network_learns_no_update(scheme: str) -> None:
    data = answers(scheme, "X-rays")
    assert data.pop("The site itself") == YES
    assert set(data.values()) == {NO}
    assert answers(scheme, "One site's update")["The network between"] == NO


def test_weights_by_records_are_declared() -> None:
    assert answers("ckks-shared", "records")["Coordinator"] == NO
    assert answers("ckks-shared", "records", "records")["Coordinator"] == YES


def test_a_specialized_adapter_is_seen_by_its_site_alone() -> None:
    rows = visibility("insecure-plaintext", weighting="uniform", dual=True)
    (own,) = [row for row in rows if "specialized adapter" in row.thing]
    assert [answer for answer, _ in own.cells] == ["sees", *["cannot"] * 4]
    without = visibility("insecure-plaintext", weighting="uniform")
    assert [row for row in rows if row is not own] == list(without)


def test_with_round_keys_one_site_and_the_coordinator_open_no_update() -> None:
    seen = answers("ckks-multiparty", "One site's update")
    assert seen.pop("The site itself") == YES
    assert set(seen.values()) == {NO}
    rows = visibility("ckks-multiparty")
    key = next(row for row in rows if row.thing.startswith("The key of a site's update"))
    assert ("cannot", "3 of 4 sites must join the coordinator") in key.cells
    update = next(row for row in rows if row.thing.startswith("One site's update"))
    assert update.cells[3] == (
        NO,
        "more than 1 of 4 sites must join one that cheats, 3 one that follows the protocol",
    )


def test_without_colluders_one_site_helps_a_coordinator_that_cheats() -> None:
    """As `tests/attacks` shows: three sites, T = 0, and the difference of two sums."""
    seen = answers(
        "ckks-multiparty", "One site's update", sites=3, min_sites=2, threshold=2, colluders=0
    )
    assert seen["Coordinator with any one site"] == YES
    assert seen["Another site"] == PART


@pytest.mark.parametrize("scheme", ["ckks-multiparty", "ckks-shared", "insecure-plaintext"])
def test_of_two_sites_each_knows_the_other_s_update(scheme: str) -> None:
    terms = {"sites": 2, "min_sites": 2, "threshold": 2, "colluders": 0}
    seen = answers(scheme, "One site's update", **terms)
    assert seen["Another site"] == seen["Coordinator with any one site"] == YES


def test_all_sites_but_one_need_no_key() -> None:
    rows = visibility("ckks-multiparty", sites=3, min_sites=3, threshold=3, colluders=1)
    update = next(row for row in rows if row.thing.startswith("One site's update"))
    assert update.cells[3][1].endswith("2 one that follows the protocol")
