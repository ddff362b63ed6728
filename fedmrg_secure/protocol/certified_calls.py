"""The calls of rounds with round keys, as a site makes them: `CoordinatorClient.certified`.

Every method may be called again after any failure. What other sites have signed is verified here
under their own keys: the coordinator only carries it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.core.types import Verifier
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope, open_envelope
from fedmrg_secure.protocol.errors import InvalidMessage, NotAvailable, ProtocolError, ReplyRefused

M = TypeVar("M")


class Ask(Protocol):
    """Sends one message and returns the verified reply (`CoordinatorClient`'s way of calling)."""

    def __call__(
        self, method: str, message: Message, expected: type[M], *, round_number: int
    ) -> M: ...


class CertifiedCalls:
    """See the module. Raises what `CoordinatorClient` raises.

    Args:
        ask: sends a message.
        verifier: the roster.
        session: the session's identifier.
    """

    def __init__(self, ask: Ask, verifier: Verifier, session: bytes) -> None:
        self._ask = ask
        self._verifier = verifier
        self._session = session

    def commit(
        self,
        round_number: int,
        plan_hash: bytes,
        upload_root: bytes,
        sealed: Sequence[bytes],
        ledger: c.LedgerHead | None = None,
    ) -> None:
        """Deposit this site's sealed key shares and commit to them and to an upload.

        Args:
            sealed: one for each site of the plan's cohort, in its order.
            ledger: how far the site's privacy ledger has come; None where it keeps none.

        Raises:
            Conflict: the site has committed to something else.
            WrongPhase: the cohort is fixed already.
        """
        self._ask(
            "DepositShares",
            c.DepositShares(plan_hash, tuple(sealed)),
            m.Receipt,
            round_number=round_number,
        )
        self._ask(
            "Commit",
            c.Commit(plan_hash, upload_root, root_of(sealed), ledger),
            m.Receipt,
            round_number=round_number,
        )

    def cohort(self, round_number: int) -> c.CohortDelivery:
        """Who may be in the round's sum, what each has committed to, and who co-signs it so far."""
        return self._ask("GetCohort", c.GetCohort(), c.CohortDelivery, round_number=round_number)

    def co_sign_cohort(self, round_number: int, cohort_hash: bytes) -> None:
        """Co-sign the cohort; it must be the only one that this site signs in the round."""
        message = c.CoSignCohort(cohort_hash)
        self._ask("CoSignCohort", message, m.Receipt, round_number=round_number)

    def inclusion(self, round_number: int) -> c.InclusionDelivery:
        """Whose uploads are added, and who co-signs it so far."""
        return self._ask(
            "GetInclusion", c.GetInclusion(), c.InclusionDelivery, round_number=round_number
        )

    def co_sign_inclusion(self, round_number: int, inclusion_hash: bytes) -> None:
        """Co-sign the included set; it must be the only one that this site signs in the round."""
        message = c.CoSignInclusion(inclusion_hash)
        self._ask("CoSignInclusion", message, m.Receipt, round_number=round_number)

    def shares(self, round_number: int) -> tuple[c.ProvenShare, ...]:
        """The included sites' key shares that are sealed to this site, in the included order.

        Raises:
            WrongPhase: the included set is not certified yet.
        """
        delivery = self._ask(
            "FetchShares", c.FetchShares(), c.SharesDelivery, round_number=round_number
        )
        return delivery.shares

    def publish_share_sums(
        self, round_number: int, inclusion_hash: bytes, sealed: Sequence[bytes]
    ) -> None:
        """Publish this site's share sum, sealed to each site of the session in order of name."""
        self._ask(
            "DepositShareSums",
            c.DepositShareSums(inclusion_hash, tuple(sealed)),
            m.Receipt,
            round_number=round_number,
        )
        self._ask(
            "PublishShareSums",
            c.PublishShareSums(inclusion_hash, root_of(sealed)),
            m.Receipt,
            round_number=round_number,
        )

    def opening(self, round_number: int) -> c.Opening | None:
        """What opens the sum of a round for this site; None while too few share sums are there."""
        try:
            return self._ask("FetchOpening", c.FetchOpening(), c.Opening, round_number=round_number)
        except NotAvailable:
            return None

    def signed(self, data: bytes, expected: type[M], round_number: int) -> tuple[str, bytes, M]:
        """What another site has signed for a round: who, the envelope's digest, the message.

        Raises:
            ReplyRefused: not a valid signature of a roster's site over such a message of this
                session and round: the coordinator has made it up or changed it.
        """
        try:
            envelope = Envelope.from_bytes(data)
            message = open_envelope(
                envelope,
                self._verifier,
                expected,
                session=self._session,
                sender=envelope.sender,
            )
            if envelope.round != round_number:
                raise InvalidMessage(f"it is for round {envelope.round}, not {round_number}")
        except ProtocolError as error:
            raise ReplyRefused(f"a site's signed message is refused: {error}") from error
        return envelope.sender, envelope.digest, message


def root_of(sealed: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over sealed shares, 32 bytes: how signed messages name them."""
    return merkle_root(map(leaf_hash, sealed))
