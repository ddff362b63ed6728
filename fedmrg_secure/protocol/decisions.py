"""What the coordinator does next, from what it knows: pure, and total over all states."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.quorum import Quorum
from fedmrg_secure.protocol.state import RoundState


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until somebody calls or falls silent."""


@dataclass(frozen=True, slots=True)
class MakePlan:
    """These sites make the round's cohort, sorted."""

    cohort: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FixCohort:
    """These sites have committed; all may now certify who may be in the sum. Sorted."""

    committed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenUploads:
    """The cohort is certified."""


@dataclass(frozen=True, slots=True)
class StartAdding:
    """The included set is certified."""


@dataclass(frozen=True, slots=True)
class FixIncluded:
    """These sites' uploads are added, sorted."""

    included: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddUploads:
    """Add what is not added yet, and publish the sum."""


@dataclass(frozen=True, slots=True)
class CloseRound:
    """All who had to have acknowledged this model."""

    model_hash: bytes


@dataclass(frozen=True, slots=True)
class AbortRound:
    """Give this round up; a new one may succeed."""

    cause: str
    """a stable word for logs"""
    reason: str
    """a sentence for people"""


@dataclass(frozen=True, slots=True)
class FailSession:
    """Nothing can go on."""

    cause: str
    reason: str


Step = (
    Wait
    | MakePlan
    | FixCohort
    | OpenUploads
    | FixIncluded
    | StartAdding
    | AddUploads
    | CloseRound
    | AbortRound
    | FailSession
)


def next_step(
    round_state: RoundState,
    *,
    live: Collection[str],
    min_sites: int,
    key_ready: bool,
    overdue: bool,
    quorum: Quorum | None = None,
) -> Step:
    """The step that is due in a round that is not over.

    Args:
        live: sites that have accepted the session and are not silent or revoked.
        min_sites: fewer uploads are never added, fewer acknowledgements never close a round.
        key_ready: the cohort's key is published to all of it, or the scheme has none.
        overdue: the round's deadline has passed.
        quorum: how many certify and open, where sites make round keys.
    """
    present = frozenset(live)
    if round_state.phase is RoundPhase.ANNOUNCING:
        return _announcing(round_state, present, min_sites, overdue, quorum)
    if quorum is not None:
        if round_state.phase is RoundPhase.COMMITTING:
            return _committing(round_state, present, min_sites, overdue, quorum)
        if round_state.phase is RoundPhase.CERTIFYING:
            return _certifying(round_state, present, overdue, quorum)
        if round_state.phase is RoundPhase.INCLUDING:
            return _including(round_state, present, overdue, quorum)
        if round_state.phase is RoundPhase.AGGREGATED:
            short = _share_sums_missing(round_state, present, overdue, quorum)
            if short is not None:
                return short
    if round_state.phase is RoundPhase.UPLOADING:
        return _uploading(round_state, present, min_sites, key_ready, overdue)
    if round_state.phase is RoundPhase.AGGREGATING:
        return AddUploads()
    if round_state.phase is RoundPhase.AGGREGATED:
        return _aggregated(round_state, present, min_sites, overdue)
    return Wait()


def _announcing(
    round_state: RoundState,
    live: frozenset[str],
    min_sites: int,
    overdue: bool,
    quorum: Quorum | None,
) -> Step:
    ready = live & round_state.announced.keys()
    enough = len(ready) >= min_sites
    if enough and quorum is not None:
        enough = len(ready) >= quorum.threshold(len(ready))
    bound = "" if quorum is None else _bound(round_state, ready, quorum)
    if enough and not bound and (ready == live or overdue):
        return MakePlan(tuple(sorted(ready)))
    if overdue and enough:
        return AbortRound("sites-missing", bound)
    if overdue:
        return AbortRound(
            "announcements-late",
            f"{len(ready)} sites announced themselves, {min_sites} are needed",
        )
    return Wait()


def _bound(round_state: RoundState, ready: frozenset[str], quorum: Quorum) -> str:
    """Why these sites would not take part, or not come to a sum, with updates that were sent in an
    aborted round; empty if nothing is in the way."""
    for one in round_state.earlier:
        sent = quorum.is_certified(one.cohort_signers, one.cohort, one.certified)
        if sent and not quorum.overlap(one.cohort, ready):
            return (
                f"updates were sent in round {one.number}, and too few of its sites are back to "
                f"send them again: {', '.join(sorted(set(one.cohort) - ready))} are missing"
            )
    if absent := _repeated(round_state) - ready:
        return _included_set_missing(absent).reason
    return ""


def _repeated(round_state: RoundState) -> frozenset[str]:
    """The included set that sites may have signed for the same updates; empty if there is none."""
    proposed = [one.included for one in round_state.earlier if one.certified and one.included]
    return frozenset(proposed[-1]) if proposed else frozenset()


def _included_set_missing(absent: frozenset[str]) -> AbortRound:
    return AbortRound(
        "sites-missing",
        "sites have signed for a sum of these updates and sign for no other one: "
        f"{', '.join(sorted(absent))} must come back",
    )


def _committing(
    round_state: RoundState,
    live: frozenset[str],
    min_sites: int,
    overdue: bool,
    quorum: Quorum,
) -> Step:
    """Who has committed and is lost again may come back, but nobody waits for it."""
    done = live & round_state.committed.keys()
    waiting = (live & frozenset(round_state.cohort)) - done
    needed = max(min_sites, quorum.threshold(len(round_state.cohort)))
    repeated = _repeated(round_state)
    if absent := repeated - done - (frozenset() if overdue else waiting):
        return _included_set_missing(absent)
    if len(done) >= needed and (not waiting or overdue):
        return FixCohort(tuple(sorted(done)))
    if overdue or len(done | waiting) < needed:
        return AbortRound(
            "commitments-missing",
            f"{len(done)} sites have committed and {len(waiting)} more may, {needed} are needed",
        )
    return Wait()


def _certifying(
    round_state: RoundState, live: frozenset[str], overdue: bool, quorum: Quorum
) -> Step:
    return _signing(
        round_state,
        round_state.cohort_signers,
        round_state.certified,
        live,
        overdue,
        quorum,
        OpenUploads(),
    )


def _including(
    round_state: RoundState, live: frozenset[str], overdue: bool, quorum: Quorum
) -> Step:
    return _signing(
        round_state,
        round_state.inclusion_signers,
        round_state.included,
        live,
        overdue,
        quorum,
        StartAdding(),
    )


def _signing(
    round_state: RoundState,
    signers: frozenset[str],
    named: tuple[str, ...],
    live: frozenset[str],
    overdue: bool,
    quorum: Quorum,
    then: OpenUploads | StartAdding,
) -> Step:
    """A statement is certified as soon as enough have signed it."""
    cohort = round_state.cohort
    if quorum.is_certified(signers, cohort, named):
        return then
    if overdue or not quorum.is_certified(signers | live, cohort, named):
        return AbortRound(
            "co-signatures-missing",
            f"{len(signers)} sites have co-signed, {quorum.threshold(len(cohort))} of "
            f"{len(cohort)} are needed",
        )
    return Wait()


def _share_sums_missing(
    round_state: RoundState, live: frozenset[str], overdue: bool, quorum: Quorum
) -> Step | None:
    """While too few share sums are there nobody can open the sum, and the round can be given up."""
    needed = quorum.threshold(len(round_state.cohort))
    given = round_state.share_sums
    if len(given) >= needed:
        return None
    if overdue or len(given | (live & frozenset(round_state.cohort))) < needed:
        return AbortRound(
            "share-sums-missing",
            f"{len(given)} sites have published the sums of their shares, {needed} are needed",
        )
    return Wait()


def _uploading(
    round_state: RoundState,
    live: frozenset[str],
    min_sites: int,
    key_ready: bool,
    overdue: bool,
) -> Step:
    done = frozenset(round_state.uploaded)
    waiting = (live & frozenset(round_state.certified or round_state.cohort)) - done
    assert round_state.plan is not None
    if not key_ready and round_state.plan.key_maker not in live:
        return AbortRound(
            "key-maker-lost",
            f"{round_state.plan.key_maker} was lost before it published the key",
        )
    repeated = _repeated(round_state)
    if absent := repeated - done - (frozenset() if overdue else waiting):
        return _included_set_missing(absent)
    if len(done) >= min_sites and (not waiting or overdue):
        return FixIncluded(tuple(sorted(repeated or done)))
    if len(done | waiting) < min_sites:
        return AbortRound(
            "cohort-too-small",
            f"{len(done | waiting)} sites of the cohort are left, {min_sites} are needed",
        )
    if overdue:
        return AbortRound(
            "uploads-late",
            f"{len(done)} sites uploaded in time, {min_sites} are needed",
        )
    return Wait()


def _aggregated(
    round_state: RoundState, live: frozenset[str], min_sites: int, overdue: bool
) -> Step:
    given = round_state.acknowledged
    if len(set(given.values())) > 1:
        return FailSession("models-differ", _disagreement(round_state))
    waiting = (live & frozenset(round_state.included)) - given.keys()
    if len(given) >= min_sites and (not waiting or overdue):
        return CloseRound(next(iter(given.values())))
    if overdue or len(given.keys() | waiting) < min_sites:
        return FailSession(
            "acknowledgements-missing",
            f"{len(given)} sites acknowledged round {round_state.number}, {min_sites} are needed",
        )
    return Wait()


def _disagreement(round_state: RoundState) -> str:
    groups: dict[bytes, list[str]] = {}
    for site in sorted(round_state.acknowledged):
        groups.setdefault(round_state.acknowledged[site], []).append(site)
    parts = [
        f"{', '.join(sites)} reached {model.hex()[:12]}" for model, sites in sorted(groups.items())
    ]
    return f"sites disagree on the model after round {round_state.number}: {'; '.join(parts)}"
