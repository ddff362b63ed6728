"""What the coordinator answers where sites make keys of their own every round.

It relays: signed commitments, co-signatures and publications byte for byte, sealed shares to their
recipients alone. It decides nothing that a site does not check, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fedmrg_secure.coordinator.errors import StorageDamaged
from fedmrg_secure.coordinator.ledger import Event
from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.coordinator.shares import (
    Deposit,
    Kind,
    pack_records,
    put_deposit,
    unpack_record,
)
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import state as s
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.codec import MessageType as T
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import Conflict, InvalidMessage, NotAvailable, WrongPhase
from fedmrg_secure.protocol.messages import Receipt
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.service import Call
from fedmrg_secure.protocol.statements import (
    cohort_due,
    cohort_of,
    inclusion_due,
    inclusion_of,
)


class CertifiedRounds:
    """Handlers of commitments, certificates, shares and openings.

    Attributes:
        handlers: by message class; each may raise registered errors.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.handlers: dict[type, Callable[[Call, Any], Message]] = {
            c.DepositShares: self._deposit_shares,
            c.Commit: self._commit,
            c.GetCohort: self._get_cohort,
            c.CoSignCohort: self._sign_cohort,
            c.GetInclusion: self._get_inclusion,
            c.CoSignInclusion: self._sign_inclusion,
            c.FetchShares: self._fetch_shares,
            c.DepositShareSums: self._deposit_share_sums,
            c.PublishShareSums: self._publish_share_sums,
            c.FetchOpening: self._fetch_opening,
        }

    def _deposit_shares(self, call: Call, message: c.DepositShares) -> Message:
        def may_come() -> tuple[Sequence[str], bool]:
            current = self._current(call)
            s.check_shares(current, call.site, message.plan_hash)
            return current.cohort, call.site in current.committed

        self._deposit(call, Kind.SHARE, message.sealed, may_come)
        return Receipt()

    def _deposit_share_sums(self, call: Call, message: c.DepositShareSums) -> Message:
        def may_come() -> tuple[Sequence[str], bool]:
            session, current = self._session, self._current(call)
            s.check_holder(current, call.site)
            due = inclusion_due(session.session_id, current)
            s.check_share_sums(current, call.site, message.inclusion_hash, due)
            return session.manifest.sites, call.site in current.share_sums

        self._deposit(call, Kind.SHARE_SUM, message.sealed, may_come)
        return Receipt()

    def _deposit(
        self,
        call: Call,
        kind: Kind,
        sealed: Sequence[bytes],
        may_come: Callable[[], tuple[Sequence[str], bool]],
    ) -> None:
        """Keep what is sealed to each recipient, in the place of a deposit not signed for yet.

        Megabytes are hashed and written outside the lock; before and after `may_come` tells, under
        it, whose shares are due and whether the caller has signed for its deposit, or raises.
        """
        session, number = self._session, call.envelope.round
        recipients, _ = may_come()
        if len(sealed) != len(recipients):
            raise InvalidMessage(f"{len(recipients)} recipients are due, {len(sealed)} came")
        records, root = pack_records(sealed)
        deposit = Deposit(session.blobs.put(records), root, len(sealed), len(sealed[0]))
        with session.ledger.lock:
            known = session.store.deposits(number, kind, call.site).get(call.site)
            if known == deposit:
                return
            superfluous: Deposit | None = deposit
            try:
                _, bound = may_come()
                if bound:
                    raise Conflict(f"{call.site} has signed for other sealed shares in this round")
                session.ledger.commit(
                    session.ledger.state, also=put_deposit(number, kind, call.site, deposit)
                )
                superfluous = known
            finally:
                if superfluous is not None and not session.store.has_deposit(superfluous.blob):
                    session.blobs.remove({superfluous.blob})

    def _check_deposit(self, call: Call, kind: Kind, root: bytes) -> None:
        """Raise `Conflict` unless the caller has deposited exactly what it signs for."""
        deposits = self._session.store.deposits(call.envelope.round, kind, call.site)
        deposit = deposits.get(call.site)
        if deposit is None:
            raise Conflict(f"{call.site} has not deposited what it signs for")
        if deposit.root != root:
            raise Conflict(f"{call.site} has deposited other sealed shares than it signs for")

    def _sealed_to(
        self, number: int, kind: Kind, senders: Sequence[str], place: int
    ) -> tuple[c.ProvenShare, ...]:
        """What these senders have sealed to recipient number `place` of their deposits."""
        deposits = self._session.store.deposits(number, kind)
        blobs = self._session.blobs
        return tuple(
            unpack_record(blobs.read_slice(deposits[sender].blob, *deposits[sender].place(place)))
            for sender in senders
        )

    def _commit(self, call: Call, message: c.Commit) -> Message:
        with self._session.ledger.lock:
            current = self._current(call)
            if call.site in current.committed and self._is_repeated(call):
                return Receipt()
            commitment = s.Commitment(message.upload_root, call.envelope.digest)
            changed = s.commit(current, call.site, message.plan_hash, commitment)
            self._check_deposit(call, Kind.SHARE, message.shares_root)
            event: Event = {
                "type": "round.committed",
                "upload_root": message.upload_root.hex(),
                **(message.ledger.logged if message.ledger else {}),
            }
            self._record(call, current, changed, event)
        return Receipt()

    def _get_cohort(self, call: Call, message: c.GetCohort) -> Message:
        current = self._current(call)
        cohort = cohort_of(current)
        commitments = self._session.store.envelopes(current.number, T.COMMIT)
        return c.CohortDelivery(
            cohort,
            tuple(commitments[site] for site in cohort.sites),
            self._signed(current.number, T.CO_SIGN_COHORT, current.cohort_signers),
        )

    def _sign_cohort(self, call: Call, message: c.CoSignCohort) -> Message:
        with self._session.ledger.lock:
            current = self._current(call)
            due = cohort_due(self._session.session_id, current)
            changed = s.sign_cohort(current, call.site, message.cohort_hash, due)
            event: Event = {"type": "cohort.signed", "cohort_hash": due.hex()}
            self._record(call, current, changed, event)
        return Receipt()

    def _get_inclusion(self, call: Call, message: c.GetInclusion) -> Message:
        current = self._current(call)
        return c.InclusionDelivery(
            inclusion_of(self._session.session_id, current),
            self._signed(current.number, T.CO_SIGN_INCLUSION, current.inclusion_signers),
        )

    def _sign_inclusion(self, call: Call, message: c.CoSignInclusion) -> Message:
        with self._session.ledger.lock:
            current = self._current(call)
            due = inclusion_due(self._session.session_id, current)
            changed = s.sign_inclusion(current, call.site, message.inclusion_hash, due)
            event: Event = {"type": "inclusion.signed", "inclusion_hash": due.hex()}
            self._record(call, current, changed, event)
        return Receipt()

    def _fetch_shares(self, call: Call, message: c.FetchShares) -> Message:
        current = self._current(call)
        s.check_holder(current, call.site)
        place = current.cohort.index(call.site)
        try:
            shares = self._sealed_to(current.number, Kind.SHARE, current.included, place)
        except (StorageDamaged, KeyError):
            s.check_holder(self._current(call), call.site)  # deleted when the round is over
            raise
        return c.SharesDelivery(shares)

    def _publish_share_sums(self, call: Call, message: c.PublishShareSums) -> Message:
        session = self._session
        with session.ledger.lock:
            current = self._current(call)
            if call.site in current.share_sums:
                if not self._is_repeated(call):
                    raise Conflict(f"{call.site} has published other share sums in this round")
                return Receipt()
            s.check_holder(current, call.site)
            due = inclusion_due(session.session_id, current)
            changed = s.publish_share_sum(current, call.site, message.inclusion_hash, due)
            self._check_deposit(call, Kind.SHARE_SUM, message.sums_root)
            event: Event = {"type": "share_sums.published", "inclusion_hash": due.hex()}
            self._record(call, current, changed, event)
        return Receipt()

    def _fetch_opening(self, call: Call, message: c.FetchOpening) -> Message:
        """What opens the sum of the open round or of any closed one, for the caller alone."""
        session, number = self._session, call.envelope.round
        session.require_accepted(call.site)
        found = session.store.round(number)
        if found is None or not can_be_opened(session, found):
            raise NotAvailable(f"round {number} has no sum that can be opened")
        assert found.plan is not None
        publishers = sorted(found.share_sums)
        place = session.manifest.sites.index(call.site)
        return c.Opening(
            found.plan,
            inclusion_of(session.session_id, found),
            self._signed(number, T.CO_SIGN_INCLUSION, found.inclusion_signers),
            self._signed(number, T.PUBLISH_SHARE_SUMS, found.share_sums),
            self._sealed_to(number, Kind.SHARE_SUM, publishers, place),
        )

    def _current(self, call: Call) -> s.RoundState:
        """The open round, where its sites make keys of their own."""
        if not self._session.manifest.round_keys:
            raise WrongPhase("the sites of this session make no keys of their own")
        return self._session.current_round(call.site, call.envelope.round)

    def _record(
        self, call: Call, current: s.RoundState, changed: s.RoundState, event: Event
    ) -> None:
        """Commit a change that a signed message made, and the message with it as evidence."""
        if changed == current:
            return
        ledger = self._session.ledger
        ledger.commit(
            replace(ledger.state, round=changed),
            {**event, "round": current.number, "site": call.site},
            keep=call.envelope,
        )

    def _signed(self, round_number: int, kind: T, senders: frozenset[str]) -> tuple[bytes, ...]:
        kept = self._session.store.envelopes(round_number, kind)
        return tuple(kept[site] for site in sorted(senders))

    def _is_repeated(self, call: Call) -> bool:
        """Whether the same was signed and kept before; a repetition may have a new envelope."""
        kept = self._session.store.envelopes(call.envelope.round, call.envelope.type)
        return Envelope.from_bytes(kept[call.site]).payload == call.envelope.payload


def can_be_opened(session: Session, round_state: s.RoundState) -> bool:
    """Whether the sum of a round is there, and enough share sums to open it."""
    if round_state.phase not in (RoundPhase.AGGREGATED, RoundPhase.CLOSED):
        return False
    needed = session.manifest.quorum.threshold(len(round_state.cohort))
    return bool(round_state.certified) and len(round_state.share_sums) >= needed


def cohort_certified(session: Session, round_state: s.RoundState) -> Event:
    """Enough sites have co-signed who may be in the sum."""
    return {
        "type": "cohort.certified",
        "round": round_state.number,
        "cohort_hash": cohort_due(session.session_id, round_state).hex(),
        "sites": list(round_state.certified),
    }


def inclusion_certified(session: Session, round_state: s.RoundState) -> Event:
    """Enough sites have co-signed who is in the sum; from now on holders get their shares."""
    return {
        "type": "inclusion.certified",
        "round": round_state.number,
        "inclusion_hash": inclusion_due(session.session_id, round_state).hex(),
        "included": list(round_state.included),
    }
