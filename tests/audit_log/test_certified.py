"""Logs of rounds with commitments and certificates, compared: who tells another story is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.audit_log import verify_run
from fedmrg_secure.audit_log.ledgers import DoubtedLedger, doubted_ledgers
from tests.audit_log.logs import hash_of
from tests.audit_log.test_verify import (
    PARTIES,
    Events,
    blamed,
    find,
    honest_events,
    upload,
    write_run,
)

SITES = PARTIES[1:]


def certified_events() -> Events:
    """The two honest rounds of `test_verify`, each with what certified rounds add."""
    events = honest_events()
    for number in (1, 2):
        before, after = of_coordinator(number)
        insert(events["coordinator"], "upload.received", number, before)
        insert(events["coordinator"], "round.aggregated", number, after)
        for site in SITES:
            before, after = of_site(site, number)
            insert(events[site], "upload.sent", number, before)
            insert(events[site], "aggregate.opened", number, after)
    return events


def insert(
    events: list[dict[str, Any]], kind: str, number: int, more: list[dict[str, Any]]
) -> None:
    place = find(events, kind, round=number)
    events[place:place] = more


def of_coordinator(number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    told = {site: of_site(site, number) for site in SITES}
    before = [{**event, "site": site} for site in SITES for event in told[site][0]]
    after = [{**event, "site": site} for site in SITES for event in told[site][1]]
    cohort = {"cohort_hash": hash_of(400 + number), "sites": list(SITES)}
    inclusion = {"inclusion_hash": hash_of(500 + number), "included": list(SITES)}
    signed = [event for event in after if event["type"] == "inclusion.signed"]
    rest = [event for event in after if event["type"] != "inclusion.signed"]
    return (
        [*before, {"type": "cohort.certified", "round": number, **cohort}],
        [*signed, {"type": "inclusion.certified", "round": number, **inclusion}, *rest],
    )


def of_site(site: str, number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    inclusion = {"round": number, "inclusion_hash": hash_of(500 + number)}
    before = [
        {"type": "round.committed", "round": number, "upload_root": upload(site, number)},
        {"type": "cohort.signed", "round": number, "cohort_hash": hash_of(400 + number)},
    ]
    after = [
        {"type": "inclusion.signed", **inclusion},
        {"type": "share_sums.published", **inclusion},
    ]
    return before, after


def test_honest_logs_agree(tmp_path: Path) -> None:
    logs = verify_run(write_run(tmp_path, certified_events()))
    assert [log.party for log in logs] == list(PARTIES)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("round.committed", "upload_root"),
        ("cohort.signed", "cohort_hash"),
        ("inclusion.signed", "inclusion_hash"),
        ("share_sums.published", "inclusion_hash"),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_site_that_signed_something_else_is_found(
    tmp_path: Path, site: str, kind: str, field: str, number: int
) -> None:
    events = certified_events()
    index = find(events[site], kind, round=number)
    events[site][index][field] = hash_of(999)
    party, entry = blamed(tmp_path, events)
    assert party == site
    if kind == "round.committed":  # its own upload of the round contradicts it first
        index = find(events[site], "upload.sent", round=number)
    assert entry == index


def test_two_sites_that_were_shown_different_included_sets_find_out(tmp_path: Path) -> None:
    """The coordinator tells spain another set, and logs of each what that one signed."""
    events = certified_events()
    for party in ("coordinator", "spain"):
        for event in events[party]:
            if "inclusion_hash" in event and event.get("site", party) == "spain":
                event["inclusion_hash"] = hash_of(999)
    party, entry = blamed(tmp_path, events)
    assert (party, entry) == (
        "coordinator",
        find(events["coordinator"], "inclusion.signed", site="spain"),
    )


def test_an_upload_that_was_not_committed_to_is_found(tmp_path: Path) -> None:
    events = certified_events()
    other = {"upload_root": hash_of(999)}
    events["italy"][find(events["italy"], "upload.sent", round=2)].update(other)
    received = find(events["coordinator"], "upload.received", round=2, site="italy")
    events["coordinator"][received].update(other)
    assert blamed(tmp_path, events) == ("coordinator", received)


def test_a_sum_of_others_than_certified_is_found(tmp_path: Path) -> None:
    events = certified_events()
    added = find(events["coordinator"], "round.aggregated", round=1)
    events["coordinator"][added]["included"] = ["italy"]
    assert blamed(tmp_path, events) == ("coordinator", added)


def with_ledgers() -> Events:
    """As `certified_events`; commitments show ledgers, and italy's is begun anew in round 2."""
    events = certified_events()
    for party in PARTIES:
        for event in events[party]:
            if event["type"] == "round.committed":
                place = SITES.index(event.get("site", party))
                head = {"ledger_hash": hash_of(600 + 10 * place + event["round"])}
                event.update(head, ledger_entries=1 + 2 * event["round"])
    insert(events["spain"], "cohort.signed", 2, [accusation(hash_of(602))])
    return events


def accusation(head: str) -> dict[str, Any]:
    about = {"round": 2, "site": "italy", "reason": "begun-anew"}
    return {"type": "ledger.discontinued", **about, "ledger_hash": head, "ledger_entries": 5}


def test_a_ledger_that_did_not_continue_is_named_and_the_logs_are_whole(tmp_path: Path) -> None:
    logs = verify_run(write_run(tmp_path, with_ledgers()))
    (doubted,) = doubted_ledgers(logs)
    assert doubted == DoubtedLedger("italy", 2, "begun-anew", ("spain",))
    assert "italy showed in round 2" in doubted.explain()
    assert doubted_ledgers(verify_run(write_run(tmp_path / "other", certified_events()))) == ()


def test_who_accuses_a_site_of_a_ledger_that_it_has_not_shown_is_found(tmp_path: Path) -> None:
    events = with_ledgers()
    place = find(events["spain"], "ledger.discontinued")
    events["spain"][place] = accusation(hash_of(999))
    assert blamed(tmp_path, events) == ("spain", place)


def test_a_site_that_logs_another_head_than_it_has_signed_is_found(tmp_path: Path) -> None:
    events = with_ledgers()
    place = find(events["spain"], "round.committed", round=1)
    events["spain"][place]["ledger_entries"] += 1
    assert blamed(tmp_path, events) == ("spain", place)


@pytest.mark.parametrize("kind", ["round.committed", "inclusion.signed"])
def test_a_site_that_hides_what_it_signed_is_found(tmp_path: Path, kind: str) -> None:
    events = certified_events()
    del events["italy"][find(events["italy"], kind, round=2)]
    assert blamed(tmp_path, events)[0] == "italy"


def test_share_sums_without_a_certificate_convict_the_coordinator(tmp_path: Path) -> None:
    events = certified_events()
    del events["coordinator"][find(events["coordinator"], "inclusion.certified", round=2)]
    assert blamed(tmp_path, events)[0] == "coordinator"
