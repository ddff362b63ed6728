"""How sites rather than the coordinator decide who is in a sum: commit, certify, include, open.

Each function may be interrupted by a kill; called again, it goes on from what is on disk.
"""

from __future__ import annotations

from fedmrg_secure.client.certificates import (
    CheckedCohort,
    check_cohort,
    check_inclusion,
    check_signatures,
)
from fedmrg_secure.client.round_keys import publish_share_sum, seal_shares
from fedmrg_secure.client.signing_record import SignedRound
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Outgoing
from fedmrg_secure.client.waiting import reaches
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol.certified_calls import root_of
from fedmrg_secure.protocol.errors import WrongPhase, WrongRound
from fedmrg_secure.protocol.messages import RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase


def commit(site: Site, plan: RoundPlan, digest: bytes, outgoing: Outgoing) -> None:
    """Bind this site to its encrypted update and its key, unless the round went on without it.

    From then on the site does not need its key of the round, and forgets it.

    With it goes the head of the site's privacy ledger: from now on the others can tell if it is
    restored from a backup.
    """
    if site.status().committed:
        site.store.forget_round_key()
        return
    sealed = _deposit(site, plan, digest)
    site.signed.commit(plan.round, outgoing.merkle_root, root_of(sealed).hex())
    ledger = _own_head(site, plan)
    site.log(
        {
            "type": "round.committed",
            "round": plan.round,
            "plan_hash": digest.hex(),
            "upload_root": outgoing.merkle_root,
            **(ledger.logged if ledger else {}),
        }
    )
    root = bytes.fromhex(outgoing.merkle_root)
    try:
        site.coordinator.certified.commit(plan.round, digest, root, sealed, ledger)
    except (WrongPhase, WrongRound) as error:
        site.progress.emit("excluded", round=plan.round, reason=str(error))
    site.store.forget_round_key()  # it has encrypted, and its shares are out, or never will be


def certify_cohort(site: Site, plan: RoundPlan, digest: bytes) -> CheckedCohort | None:
    """Check and co-sign who may be in the sum; the cohort once enough have; None if it is over.

    Raises:
        CertificateRefused, SignatureRefused: it is not what this site may sign.
    """
    site.progress.enter("certifying", plan.round)
    if not reaches(site, plan.round, RoundPhase.CERTIFYING):
        return None
    calls = site.coordinator.certified
    cohort = check_cohort(site, plan, digest, calls.cohort(plan.round), _bound(site, plan))
    _look_at_ledgers(site, plan.round, cohort)
    site.signed.sign_cohort(plan.round, cohort.hash.hex())
    site.log({"type": "cohort.signed", "round": plan.round, "cohort_hash": cohort.hash.hex()})
    try:
        calls.co_sign_cohort(plan.round, cohort.hash)
    except (WrongPhase, WrongRound):
        return None
    if not reaches(site, plan.round, RoundPhase.UPLOADING):
        return None
    signatures = calls.cohort(plan.round).signatures
    check_signatures(site, plan, cohort.hash, c.CoSignCohort, signatures, cohort.statement.sites)
    return cohort


def certify_inclusion(site: Site, plan: RoundPlan, digest: bytes, cohort: CheckedCohort) -> bool:
    """Check and co-sign who is in the sum, then help to open it; False if the round is over.

    Raises:
        CertificateRefused, SignatureRefused: it is not what this site may sign.
        ShareRefused: a key's share is not what its site has committed to.
    """
    if not reaches(site, plan.round, RoundPhase.INCLUDING):
        return False
    calls = site.coordinator.certified
    inclusion = calls.inclusion(plan.round).inclusion
    statement = check_inclusion(site, plan, digest, cohort, inclusion)
    site.signed.sign_inclusion(plan.round, statement.hex(), inclusion.sites)
    site.log(
        {
            "type": "inclusion.signed",
            "round": plan.round,
            "inclusion_hash": statement.hex(),
            "included": list(inclusion.sites),
        }
    )
    try:
        calls.co_sign_inclusion(plan.round, statement)
        if not reaches(site, plan.round, RoundPhase.AGGREGATING):
            return False
        signatures = calls.inclusion(plan.round).signatures
        check_signatures(site, plan, statement, c.CoSignInclusion, signatures, inclusion.sites)
        publish_share_sum(site, plan, digest, cohort, inclusion)
    except (WrongPhase, WrongRound):
        return False
    return True


def _deposit(site: Site, plan: RoundPlan, digest: bytes) -> tuple[bytes, ...]:
    """This site's sealed shares; sealing is randomised, and what is committed to stays the same."""
    kept = site.store.deposit(digest.hex())
    if kept is None:
        kept = seal_shares(site, plan, digest)
        site.store.save_deposit(digest.hex(), kept)
    return kept


def _own_head(site: Site, plan: RoundPlan) -> c.LedgerHead | None:
    """The head of this site's privacy ledger, kept as shown; None in a run without one."""
    if site.ledger is None or site.peers is None:
        return None
    applied = site.store.applied()
    assert applied is not None, "kept at joining"
    head, digests = site.ledger.head_and_digests()
    return site.peers.show(
        head,
        digests,
        site.ledger.scope,
        number=plan.round,
        applied=applied.round,
        sites=len(plan.cohort),
    )


def _look_at_ledgers(site: Site, number: int, cohort: CheckedCohort) -> None:
    """Tell of every site whose privacy ledger is not the continuation of what it showed before,
    and of every one that shows none where this site keeps one.

    The cohort is signed all the same: what that site's patients lose more is lost, and a site must
    not be able to stop the others with a broken ledger.
    """
    if site.peers is None:
        return
    shown = {
        name: message.ledger for name, message in cohort.commitments.items() if name != site.name
    }
    findings = site.peers.look(number, shown)
    for kind in ("missing", "unproven"):
        if sites := sorted(name for name, finding in findings.items() if finding == kind):
            site.log({"type": f"ledger.{kind}", "round": number, "sites": sites})
            site.progress.emit(f"ledgers_{kind}", round=number, sites=sites)
    for name, finding in sorted(findings.items()):
        if finding in ("missing", "unproven"):
            continue
        head = shown[name]
        site.log(
            {
                "type": "ledger.discontinued",
                "round": number,
                "site": name,
                "reason": finding,
                **(head.logged if head else {}),
            }
        )
        site.progress.emit("ledger_discontinued", round=number, site=name, reason=finding)
    site.peers.remember(number, shown)


def _bound(site: Site, plan: RoundPlan) -> SignedRound:
    entry = site.signed.of_round(plan.round)
    assert entry is not None, "begun with the plan"
    return entry
