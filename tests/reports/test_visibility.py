"""The table of who sees what follows from the scheme."""

from __future__ import annotations

import pytest

from fedmrg_secure.reports.visibility import NO, PARTIES, YES, visibility


def answers(scheme: str, thing: str, weighting: str = "uniform") -> dict[str, str]:
    row = next(row for row in visibility(scheme, weighting=weighting) if thing in row.thing)
    return dict(zip(PARTIES, (answer for answer, _ in row.cells), strict=True))


def test_ckks_shared_keeps_updates_from_the_coordinator_but_not_from_a_coalition() -> None:
    seen = answers("ckks-shared", "One site's update")
    assert seen["Coordinator"] == NO
    assert seen["Another site"] == NO
    assert seen["Coordinator with any one site"] == YES


def test_plaintext_shows_the_coordinator_everything_sent() -> None:
    assert answers("insecure-plaintext", "One site's update")["Coordinator"] == YES
    assert answers("insecure-plaintext", "trained model")["Coordinator"] == YES


@pytest.mark.parametrize("scheme", ["ckks-shared", "insecure-plaintext"])
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
    rows = visibility("ckks-multiparty", weighting="uniform", sites=4, threshold=3)
    key = next(row for row in rows if row.thing.startswith("The key of a site's update"))
    assert ("cannot", "3 of 4 sites must join the coordinator") in key.cells
