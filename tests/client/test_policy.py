"""A site's own terms decide: whatever differs in a manifest, plan or sum is refused by name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from fedmrg_secure import __version__
from fedmrg_secure.client.policy import (
    AggregateRefused,
    ManifestRefused,
    PlanRefused,
    Terms,
    check_aggregate,
    check_manifest,
    check_plan,
    weight_share,
)
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.messages import (
    NO_TRANSCRIPT,
    AggregateInfo,
    CohortMember,
    IncludedSite,
    RoundPlan,
)
from fedmrg_secure.update.fixed_point import FixedPoint

CONFIG = RunConfig.model_validate(
    {
        "name": "test",
        "data": {"source": "phantom"},
        "secure_aggregation": {"scheme": "ckks-shared", "acknowledge_collusion_risk": True},
        "federation": {"min_sites": 2},
    }
)
HASH = "ab" * 32
TERMS = Terms(
    federation="fed",
    roster_hash=HASH,
    factorization_digest="04" * 32,
    value_count=8,
    state_value_count=24,
    passes=2,
    base_hash="01" * 32,
    tokenizer_hash="02" * 32,
    initial_state_hash="03" * 32,
)
WEIGHTS = {"a": 1, "b": 1, "c": 1}
NONCE = bytes(range(32))


def manifest(**changes: object) -> SessionManifest:
    codec = FixedPoint(CONFIG.update.clip_norm, CONFIG.update.precision_bits)
    parameters = SchemeParameters.for_config(
        "ckks-shared", sites=3, max_abs_value=codec.max_abs_value, max_norm=codec.max_norm
    )
    fields: dict[str, object] = {
        "federation": "fed",
        "name": "test",
        "nonce": HASH,
        "rounds": CONFIG.training.rounds * TERMS.passes,
        "scheme": "ckks-shared",
        "scheme_parameters": parameters.to_json(),
        "scheme_digest": parameters.digest,
        "shared_key": True,
        "round_keys": False,
        "colluders": 0,
        "certificate": "threshold",
        "rotate_after": CONFIG.secure_aggregation.rotate_after,
        "factorization_digest": TERMS.factorization_digest,
        "value_count": TERMS.value_count,
        "state_value_count": TERMS.state_value_count,
        "base_hash": TERMS.base_hash,
        "tokenizer_hash": TERMS.tokenizer_hash,
        "initial_state_hash": TERMS.initial_state_hash,
        "software": __version__,
        "clip_norm": str(CONFIG.update.clip_norm),
        "precision_bits": CONFIG.update.precision_bits,
        "weighting": "uniform",
        "weights": WEIGHTS,
        "roster_hash": HASH,
        "min_sites": CONFIG.federation.min_sites,
        "site_timeout_ms": 20_000,
        "join_deadline_ms": 60_000,
        "round_deadline_ms": 60_000,
    }
    return SessionManifest(**{**fields, **changes})  # type: ignore[arg-type]


PLAN = RoundPlan(
    round=1,
    base_state_hash=bytes(32),
    cohort=tuple(CohortMember(site, NONCE, 1) for site in ("a", "b", "c")),
    key_epoch=1,
    key_maker="b",
    previous_transcript=NO_TRANSCRIPT,
)
DIGEST = plan_hash(manifest().session_id, PLAN)


def aggregate(**changes: object) -> AggregateInfo:
    from fedmrg_secure.core.merkle import leaf_hash, merkle_root

    leaves = (leaf_hash(b"x"),)
    made = AggregateInfo(
        round=1,
        plan_hash=DIGEST,
        key_epoch=1,
        key_maker="b",
        included=tuple(IncludedSite(site, 1, bytes(32)) for site in ("a", "b")),
        chunk_hashes=leaves,
        merkle_root=merkle_root(leaves),
        total_bytes=1,
        inclusion_hash=b"",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_equal_manifest_is_accepted() -> None:
    assert check_manifest(manifest(), CONFIG, TERMS, site="a").digest == manifest().scheme_digest


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("clip_norm", "11", "clip_norm"),
        ("rounds", 999, "rounds"),
        ("min_sites", 1, "min_sites"),
        ("base_hash", HASH, "base model"),
        ("tokenizer_hash", HASH, "tokenizer"),
        ("factorization_digest", HASH, "factorization"),
        ("value_count", 9, "values of an update"),
        ("state_value_count", 25, "values of the state"),
        ("rounds", CONFIG.training.rounds, "rounds"),
        ("scheme_digest", HASH, "scheme parameters"),
        ("scheme", "insecure-plaintext", "scheme"),
        ("rotate_after", 1000, "rotate_after"),
        ("initial_state_hash", HASH, "initial state"),
        ("software", "9.9.9", "software"),
        ("precision_bits", 10, "precision_bits"),
        ("roster_hash", "cd" * 32, "roster"),
        ("federation", "other", "federation"),
    ],
)
def test_a_manifest_with_another_term_is_refused_by_name(
    field: str, value: object, named: str
) -> None:
    with pytest.raises(ManifestRefused, match=named):
        check_manifest(manifest(**{field: value}), CONFIG, TERMS, site="a")


def test_a_session_without_this_site_is_refused() -> None:
    with pytest.raises(ManifestRefused, match="membership"):
        check_manifest(manifest(), CONFIG, TERMS, site="d")


def plan_check(plan: RoundPlan, **changes: object) -> None:
    arguments: dict[str, object] = {
        "round_number": PLAN.round,
        "site": "a",
        "nonce": NONCE,
        "base_state_hash": bytes(32).hex(),
        "transcript": NO_TRANSCRIPT,
    }
    check_plan(plan, manifest(), **{**arguments, **changes})  # type: ignore[arg-type]


def test_a_sound_plan_is_accepted() -> None:
    plan_check(PLAN)


@pytest.mark.parametrize(
    ("plan", "changes", "named"),
    [
        (replace(PLAN, cohort=PLAN.cohort[:1], key_maker="a"), {}, "only 1 sites"),
        (replace(PLAN, cohort=PLAN.cohort[1:]), {}, "not in the cohort"),
        (PLAN, {"round_number": PLAN.round + 1}, f"shown as that of round {PLAN.round + 1}"),
        (PLAN, {"nonce": bytes(32)}, "nonce"),
        (PLAN, {"base_state_hash": HASH}, "another model state"),
        (PLAN, {"transcript": bytes([1]) * 32}, "another history"),
        (replace(PLAN, key_epoch=0, key_maker=""), {}, "makes its key"),
        (
            replace(PLAN, cohort=(*PLAN.cohort, CohortMember("z", NONCE, 1))),
            {},
            "outside the session",
        ),
        (
            replace(PLAN, cohort=(*PLAN.cohort[:2], CohortMember("c", NONCE, 5))),
            {},
            "above its cap",
        ),
    ],
)
def test_a_plan_that_breaks_a_term_is_refused(
    plan: RoundPlan, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(PlanRefused, match=named):
        plan_check(plan, **changes)


def test_a_sound_sum_is_accepted() -> None:
    check_aggregate(aggregate(), PLAN, DIGEST, manifest())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"plan_hash": bytes(32)}, "another plan"),
        ({"included": (IncludedSite("a", 1, bytes(32)),)}, "has 1 sites"),
        (
            {"included": (IncludedSite("a", 1, bytes(32)), IncludedSite("z", 1, bytes(32)))},
            "not the plan's",
        ),
        (
            {"included": (IncludedSite("a", 1, bytes(32)), IncludedSite("b", 7, bytes(32)))},
            "not the plan's",
        ),
    ],
)
def test_a_sum_that_is_not_the_plans_is_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(AggregateRefused, match=named):
        check_aggregate(aggregate(**changes), PLAN, DIGEST, manifest())


def test_weight_share_is_relative_to_the_largest_cap() -> None:
    assert weight_share(3, {"a": 3, "b": 12}) == Fraction(1, 4)
