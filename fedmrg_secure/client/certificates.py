"""What a site checks before it co-signs a statement, and before it believes a certificate."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar

from fedmrg_secure.client.signing_record import SignedRound
from fedmrg_secure.client.site import Site
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash
from fedmrg_secure.protocol.messages import RoundPlan


class CertificateRefused(FedmrgError):
    """A cohort or an included set is not what this site may sign, or not certified."""

    code: ClassVar[str] = "FMRG-6252"


@dataclass(frozen=True, slots=True)
class CheckedCohort:
    """A cohort whose every entry this site has verified.

    Attributes:
        hash: of the statement.
        commitments: each committed site's own message.
    """

    statement: c.Cohort
    hash: bytes
    commitments: dict[str, c.Commit]


def check_cohort(
    site: Site, plan: RoundPlan, plan_hash: bytes, delivery: c.CohortDelivery, own: SignedRound
) -> CheckedCohort:
    """The cohort, if this site may co-sign it.

    Raises:
        CertificateRefused: another plan, too few sites, a site outside the plan, an entry that is
            not what that site has signed, or this site's own entry is not what it committed to.
        ReplyRefused: a commitment that its site has not signed.
    """
    cohort = delivery.cohort
    least = max(site.manifest.min_sites, site.manifest.quorum.threshold(len(plan.cohort)))
    _check(
        f"the cohort of round {plan.round}",
        (cohort.round != plan.round or cohort.plan_hash != plan_hash, "it is of another plan"),
        (len(cohort.committed) < least, f"it has {len(cohort.committed)} sites of {least}"),
        (not set(cohort.sites) <= set(plan.sites), "it has a site outside the plan"),
    )
    commitments = {}
    for entry, data in zip(cohort.committed, delivery.commitments, strict=True):
        sender, digest, commitment = site.coordinator.certified.signed(data, c.Commit, plan.round)
        _check(
            f"the commitment of {entry.site} in round {plan.round}",
            (sender != entry.site, f"it is signed by {sender}"),
            (digest != entry.commitment, "it is not the one that the cohort names"),
            (commitment.plan_hash != plan_hash, "it is for another plan"),
            (commitment.upload_root != entry.upload_root, "its upload is not the cohort's"),
        )
        commitments[entry.site] = commitment
    if site.name in commitments:
        mine = commitments[site.name]
        _check(
            f"the cohort of round {plan.round}",
            (
                mine.upload_root.hex() != own.upload_root
                or mine.shares_root.hex() != own.shares_root,
                "this site's entry is not what it has committed to",
            ),
        )
    return CheckedCohort(cohort, cohort_hash(site.session, cohort), commitments)


def check_inclusion(
    site: Site, plan: RoundPlan, plan_hash: bytes, cohort: CheckedCohort, inclusion: c.Inclusion
) -> bytes:
    """The hash of an included set, if this site may co-sign it.

    Raises:
        CertificateRefused: another plan or cohort, a site outside the cohort, or too few sites.
    """
    count, least = len(inclusion.sites), site.manifest.min_sites
    _check(
        f"the included set of round {plan.round}",
        (
            inclusion.round != plan.round or inclusion.plan_hash != plan_hash,
            "it is of another plan",
        ),
        (inclusion.cohort_hash != cohort.hash, "it is of another cohort"),
        (
            not set(inclusion.sites) <= set(cohort.statement.sites),
            "it has a site that did not commit",
        ),
        (count < least, f"it has {count} sites, {least} are needed"),
    )
    return inclusion_hash(site.session, inclusion)


def check_signatures(
    site: Site,
    plan: RoundPlan,
    statement: bytes,
    expected: type[c.CoSignCohort] | type[c.CoSignInclusion],
    signatures: Iterable[bytes],
    named: Collection[str],
) -> None:
    """Return if a statement is certified.

    Args:
        statement: its hash.
        signatures: envelopes from the coordinator.
        named: the sites that the statement names.

    Raises:
        CertificateRefused: too few sites of the cohort have signed it, or one has signed another.
        ReplyRefused: an envelope that its sender has not signed.
    """
    signers = set()
    for data in signatures:
        sender, _, message = site.coordinator.certified.signed(data, expected, plan.round)
        signed = (
            message.cohort_hash if isinstance(message, c.CoSignCohort) else message.inclusion_hash
        )
        if signed != statement:
            raise _refused(
                f"{sender} has signed another statement in round {plan.round} than this site was "
                "shown: the coordinator tells the sites different things"
            )
        signers.add(sender)
    if not site.manifest.quorum.is_certified(signers, plan.sites, named):
        needed = site.manifest.quorum.threshold(len(plan.cohort))
        raise _refused(
            f"{len(signers & set(plan.sites))} of {len(plan.cohort)} sites have co-signed in round "
            f"{plan.round}; the {site.manifest.certificate} rule wants at least {needed}"
        )


def _check(what: str, *findings: tuple[bool, str]) -> None:
    if problems := [text for broken, text in findings if broken]:
        raise _refused(f"{what} is refused: " + "; ".join(problems))


def _refused(why: str) -> CertificateRefused:
    return CertificateRefused(
        why, hint="do not go on with this coordinator before it has been looked into"
    )
