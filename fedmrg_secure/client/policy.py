"""What a site insists on before it takes part: its own configuration decides, not the coordinator.

A site works out every term of the session from its own configuration, its own copy of the base
model and its own roster, and compares; nothing of a manifest is ever taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fedmrg_secure import __version__
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan
from fedmrg_secure.update.fixed_point import FixedPoint


class ManifestRefused(FedmrgError):
    """The session's terms are not the ones this site is configured for."""

    code: ClassVar[str] = "FMRG-6211"


class PlanRefused(FedmrgError):
    """A round's plan breaks the session's terms."""

    code: ClassVar[str] = "FMRG-6212"


class AggregateRefused(FedmrgError):
    """A sum is not one of this round, of these sites, or of what they sent."""

    code: ClassVar[str] = "FMRG-6213"


@dataclass(frozen=True)
class Terms:
    """What this site computed for itself.

    Attributes:
        federation: from the site's own certificate.
        roster_hash: of the roster in its kit.
        factorization_digest, value_count, passes: of what its updates are made of.
        state_value_count: values of the public state.
        base_hash, tokenizer_hash, initial_state_hash: of its own copy of the model.
    """

    federation: str
    roster_hash: str
    factorization_digest: str
    value_count: int
    state_value_count: int
    passes: int
    base_hash: str
    tokenizer_hash: str
    initial_state_hash: str


def check_manifest(
    manifest: SessionManifest, config: RunConfig, terms: Terms, *, site: str
) -> SchemeParameters:
    """The scheme's parameters if every term of the session is the site's own.

    Raises:
        ManifestRefused: naming every term that differs.
    """
    secure = config.secure_aggregation
    codec = FixedPoint(config.update.clip_norm, config.update.precision_bits)
    parameters = SchemeParameters.for_config(
        secure.scheme,
        sites=len(manifest.sites),
        max_abs_value=codec.max_abs_value,
        max_norm=codec.max_norm,
        wire_bits=secure.wire_bits,
    )
    own_keys = secure.scheme == CKKS_MULTIPARTY
    differing = [
        f"{name} is {given!r}, this site has {own!r}"
        for name, given, own in (
            ("federation", manifest.federation, terms.federation),
            ("run", manifest.name, config.name),
            ("rounds", manifest.rounds, config.training.rounds * terms.passes),
            ("scheme", manifest.scheme, secure.scheme),
            ("scheme parameters", manifest.scheme_digest, parameters.digest),
            ("rotate_after", manifest.rotate_after, secure.rotate_after),
            ("round_keys", manifest.round_keys, own_keys),
            ("colluders", manifest.colluders, secure.colluders if own_keys else 0),
            ("certificate", manifest.certificate, secure.certificate),
            ("factorization", manifest.factorization_digest, terms.factorization_digest),
            ("values of an update", manifest.value_count, terms.value_count),
            ("values of the state", manifest.state_value_count, terms.state_value_count),
            ("base model", manifest.base_hash, terms.base_hash),
            ("tokenizer", manifest.tokenizer_hash, terms.tokenizer_hash),
            ("initial state", manifest.initial_state_hash, terms.initial_state_hash),
            ("software", manifest.software, __version__),
            ("clip_norm", float(manifest.clip_norm), config.update.clip_norm),
            ("precision_bits", manifest.precision_bits, config.update.precision_bits),
            ("weighting", manifest.weighting, config.update.weighting),
            ("min_sites", manifest.min_sites, config.federation.min_sites),
            ("roster", manifest.roster_hash, terms.roster_hash),
            ("membership", site in manifest.sites, True),
        )
        if given != own
    ]
    if differing:
        raise ManifestRefused(
            "the session is not the one this site is configured for: " + "; ".join(differing),
            hint="the consortium must agree on one configuration, software version and base model",
        )
    return parameters


def check_plan(
    plan: RoundPlan,
    manifest: SessionManifest,
    *,
    round_number: int,
    site: str,
    nonce: bytes,
    base_state_hash: str,
    transcript: bytes,
) -> None:
    """Return if the plan starts from this site's state, holds its nonce and is large enough.

    Raises:
        PlanRefused: naming what is wrong.
    """
    cohort = {member.site: member for member in plan.cohort}
    problems = [
        text
        for broken, text in (
            (plan.round != round_number, f"it was shown as that of round {round_number}"),
            (site not in cohort, "this site is not in the cohort"),
            (site in cohort and cohort[site].nonce != nonce, "it does not hold this site's nonce"),
            *cohort_terms(plan, manifest),
            (plan.base_state_hash.hex() != base_state_hash, "it starts from another model state"),
            (plan.previous_transcript != transcript, "it follows another history of rounds"),
            (
                manifest.shared_key and plan.key_epoch == 0,
                "no site of the cohort makes its key",
            ),
        )
        if broken
    ]
    if problems:
        raise PlanRefused(
            f"the plan of round {plan.round} is refused: " + "; ".join(problems),
            hint="do not go on with this coordinator before it has been looked into",
        )


def cohort_terms(plan: RoundPlan, manifest: SessionManifest) -> tuple[tuple[bool, str], ...]:
    """What the session asks of any plan's cohort: (whether it is broken, how it is said)."""
    return (
        (not set(plan.sites) <= set(manifest.sites), "the cohort has a site outside the session"),
        (len(plan.cohort) < manifest.min_sites, f"the cohort has only {len(plan.cohort)} sites"),
        (
            any(member.weight > manifest.weights.get(member.site, 0) for member in plan.cohort),
            "a weight is above its cap",
        ),
    )


def check_aggregate(
    aggregate: AggregateInfo, plan: RoundPlan, plan_hash: bytes, manifest: SessionManifest
) -> None:
    """Return if the sum belongs to the plan and has enough of its cohort, with their weights.

    Raises:
        AggregateRefused: naming what is wrong.
    """
    weights = {member.site: member.weight for member in plan.cohort}
    count = len(aggregate.included)
    findings = (
        (aggregate.plan_hash != plan_hash, "it is of another plan"),
        (
            any(weights.get(entry.site) != entry.weight for entry in aggregate.included),
            "a site or a weight is not the plan's",
        ),
        (count < manifest.min_sites, f"it has {count} sites, {manifest.min_sites} are needed"),
    )
    if problems := [text for broken, text in findings if broken]:
        raise AggregateRefused(
            f"the sum of round {aggregate.round} is refused: " + "; ".join(problems),
            hint="do not go on with this coordinator before it has been looked into",
        )


def weight_share(weight: int, caps: Mapping[str, int]) -> Fraction:
    """A site's weight as a share of the session's largest, in (0, 1]: what the codec multiplies."""
    return Fraction(weight, max(caps.values()))
