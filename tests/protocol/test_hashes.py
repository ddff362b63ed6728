from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.canonical import hash_json, tagged_hash
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.hashes import (
    aggregate_hash,
    cohort_hash,
    inclusion_hash,
    plan_hash,
    to_json,
    transcript_hash,
)
from tests.protocol.examples import aggregates, cohorts, inclusions, names, plans

SESSION = b"\1" * 32


def test_the_plans_hash_is_that_of_the_specification() -> None:
    plan = m.RoundPlan(2, b"\2" * 32, (m.CohortMember("a", b"\3" * 32, 5),), 1, "a", b"\4" * 32)
    value = {
        "round": 2,
        "base_state_hash": "02" * 32,
        "cohort": [{"site": "a", "nonce": "03" * 32, "weight": 5}],
        "key_epoch": 1,
        "key_maker": "a",
        "previous_transcript": "04" * 32,
    }
    assert plan_hash(SESSION, plan) == hash_json(
        "fedmrg/plan/v1", {"plan": value, "session": "01" * 32}
    )


@given(plans(), st.integers(1, 1000))
def test_plan_and_session_are_bound(plan: m.RoundPlan, number: int) -> None:
    digest = plan_hash(SESSION, plan)
    assert plan_hash(b"\2" * 32, plan) != digest
    changed = replace(plan, round=number)
    assert (plan_hash(SESSION, changed) == digest) == (changed == plan)


@given(aggregates())
def test_who_is_included_is_bound(info: m.AggregateInfo) -> None:
    heavier = (replace(info.included[0], weight=info.included[0].weight % 100 + 1),)
    changed = replace(info, included=heavier + info.included[1:])
    same = aggregate_hash(SESSION, changed) == aggregate_hash(SESSION, info)
    assert same == (changed == info)


def test_the_certified_statements_hash_as_specified() -> None:
    cohort = c.Cohort(2, b"\2" * 32, (c.CommittedSite("a", b"\3" * 32, b"\4" * 32),))
    inclusion = c.Inclusion(2, b"\2" * 32, b"\5" * 32, ("a", "b"))
    site = {"site": "a", "upload_root": "03" * 32, "commitment": "04" * 32}
    assert cohort_hash(SESSION, cohort) == hash_json(
        "fedmrg/cohort/v1",
        {
            "cohort": {"round": 2, "plan_hash": "02" * 32, "committed": [site]},
            "session": "01" * 32,
        },
    )
    statement = {
        "round": 2,
        "plan_hash": "02" * 32,
        "cohort_hash": "05" * 32,
        "sites": ["a", "b"],
    }
    assert inclusion_hash(SESSION, inclusion) == hash_json(
        "fedmrg/inclusion/v1", {"inclusion": statement, "session": "01" * 32}
    )


@given(cohorts(), inclusions, st.integers(1, 1000), names)
def test_what_is_certified_is_bound_in_every_part(
    cohort: c.Cohort, inclusion: c.Inclusion, number: int, name: str
) -> None:
    other = bytes(31) + b"\1"
    for changed in (
        replace(cohort, round=number),
        replace(cohort, plan_hash=other),
        replace(cohort, committed=(replace(cohort.committed[0], upload_root=other),)),
        replace(cohort, committed=(replace(cohort.committed[0], commitment=other),)),
        replace(cohort, committed=(replace(cohort.committed[0], site=name),)),
    ):
        same = cohort_hash(SESSION, changed) == cohort_hash(SESSION, cohort)
        assert same == (changed == cohort)
    for statement in (
        replace(inclusion, round=number),
        replace(inclusion, plan_hash=other),
        replace(inclusion, cohort_hash=other),
        replace(inclusion, sites=(name,)),
    ):
        same = inclusion_hash(SESSION, statement) == inclusion_hash(SESSION, inclusion)
        assert same == (statement == inclusion)
    assert cohort_hash(b"\2" * 32, cohort) != cohort_hash(SESSION, cohort)
    assert inclusion_hash(b"\2" * 32, inclusion) != inclusion_hash(SESSION, inclusion)


@given(aggregates())
def test_an_aggregate_binds_the_certified_set(info: m.AggregateInfo) -> None:
    changed = replace(info, inclusion_hash=bytes(31) + b"\1")
    same = aggregate_hash(SESSION, changed) == aggregate_hash(SESSION, info)
    assert same == (changed == info)


def test_a_transcript_chains() -> None:
    parts = [bytes([i]) * 32 for i in range(4)]
    assert transcript_hash(*parts) == tagged_hash("fedmrg/transcript/v1", *parts)


def test_json_has_no_floats() -> None:
    with pytest.raises(TypeError, match="float"):
        to_json(1.5)
