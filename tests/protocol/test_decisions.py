from dataclasses import replace

import pytest

from fedmrg_secure.protocol import decisions as d
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.phases import RoundPhase
from tests.protocol.test_state import BASE, MODEL, PLAN_HASH, SITES, nonce_of, root_of, uploading


def due(current: s.RoundState, live: str = "abg", **options: object) -> d.Step:
    names = {"a": "alpha", "b": "beta", "g": "gamma", "d": "delta"}
    terms = {"min_sites": 2, "key_ready": True, "overdue": False, **options}
    return d.next_step(current, live=[names[letter] for letter in live], **terms)


def with_uploads(current: s.RoundState, *sites: str) -> s.RoundState:
    for site in sites:
        current = s.complete_upload(current, site, root_of(site))
    return current


def test_a_plan_waits_for_every_live_site_or_the_deadline() -> None:
    current = s.RoundState(1, RoundPhase.ANNOUNCING, BASE)
    for site in ("alpha", "beta"):
        current = s.announce(current, site, nonce_of(site), BASE)
    assert due(current, "abg") == d.Wait()
    assert due(current, "ab") == d.MakePlan(("alpha", "beta"))
    assert due(current, "abg", overdue=True) == d.MakePlan(("alpha", "beta"))
    assert due(current, "a", overdue=True).cause == "announcements-late"
    assert due(current, "ag") == d.Wait()


def test_a_lost_site_that_announced_is_not_in_the_plan() -> None:
    current = s.RoundState(1, RoundPhase.ANNOUNCING, BASE)
    for site in SITES:
        current = s.announce(current, site, nonce_of(site), BASE)
    assert due(current, "ag") == d.MakePlan(("alpha", "gamma"))


def test_uploads_of_sites_lost_since_are_included() -> None:
    current = with_uploads(uploading("alpha", "beta", "gamma"), "alpha", "beta")
    assert due(current) == d.Wait()
    assert due(current, "ab") == d.FixIncluded(("alpha", "beta"))
    assert due(current, "") == d.FixIncluded(("alpha", "beta"))
    assert due(current, "abg", overdue=True) == d.FixIncluded(("alpha", "beta"))


@pytest.mark.parametrize(
    ("uploads", "live", "options", "cause"),
    [
        ((), "bg", {"key_ready": False}, "key-maker-lost"),
        (("alpha",), "a", {}, "cohort-too-small"),
        (("alpha",), "abg", {"overdue": True}, "uploads-late"),
    ],
)
def test_rounds_that_cannot_go_on_are_aborted(
    uploads: tuple[str, ...], live: str, options: dict[str, bool], cause: str
) -> None:
    step = due(with_uploads(uploading("alpha", "beta", "gamma"), *uploads), live, **options)
    assert isinstance(step, d.AbortRound)
    assert step.cause == cause


def aggregated(*acknowledged: str, other: str = "") -> s.RoundState:
    current = with_uploads(uploading("alpha", "beta", "gamma"), "alpha", "beta", "gamma")
    current = s.publish(s.fix_included(current, ("alpha", "beta", "gamma")))
    for site in acknowledged:
        model = BASE if site == other else MODEL
        current = s.acknowledge(current, site, PLAN_HASH, model)
    return current


def test_a_round_closes_when_all_live_included_sites_agree() -> None:
    assert due(aggregated("alpha", "beta")) == d.Wait()
    assert due(aggregated("alpha", "beta"), "ab") == d.CloseRound(MODEL)
    assert due(aggregated("alpha", "beta", "gamma")) == d.CloseRound(MODEL)
    assert due(aggregated("alpha", "beta"), overdue=True) == d.CloseRound(MODEL)
    assert due(aggregated("alpha"), "ad").cause == "acknowledgements-missing"


def test_disagreement_fails_at_once_and_names_the_sites() -> None:
    step = due(aggregated("alpha", "beta", other="beta"))
    assert isinstance(step, d.FailSession)
    assert step.cause == "models-differ"
    assert "beta reached 0101" in step.reason
    assert "alpha reached 0303" in step.reason


def test_adding_is_due_until_it_is_done_and_nothing_is_due_after_the_end() -> None:
    current = with_uploads(uploading("alpha", "beta"), "alpha", "beta")
    assert due(s.fix_included(current, ("alpha", "beta")), "") == d.AddUploads()
    assert due(replace(current, phase=RoundPhase.CLOSED), "") == d.Wait()
    assert due(s.abort(current, "x"), "") == d.Wait()
