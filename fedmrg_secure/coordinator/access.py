"""Who may call: the roster in force, looked at anew for every message."""

from __future__ import annotations

from collections.abc import Collection

from fedmrg_secure.coordinator.errors import NotRegisteredHere
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import COORDINATOR
from fedmrg_secure.crypto.roster import PartyRevoked, PartyUnknown, Roster
from fedmrg_secure.protocol.errors import NotAuthenticated, NotPermitted


class Access:
    """The roster in force; implements `core.types.Verifier`.

    Args:
        roster: of the session's federation.
        sites: the session's sites.
    """

    def __init__(self, roster: Roster, sites: Collection[str]) -> None:
        self._roster = roster
        self._sites = frozenset(sites)

    @property
    def roster_hash(self) -> str:
        """Hash of the roster in force, hex."""
        return self._roster.hash

    def replace(self, roster: Roster) -> None:
        """Put a newer roster into force; revocations act from the next message on.

        Raises:
            NotRegisteredHere: another federation's, or an older epoch.
        """
        if roster.federation != self._roster.federation or roster.epoch <= self._roster.epoch:
            raise NotRegisteredHere(
                f"roster epoch {roster.epoch} of {roster.federation} does not follow "
                f"epoch {self._roster.epoch} of {self._roster.federation}"
            )
        self._roster = roster

    def identify(self, certificate_pem: bytes) -> str:
        """The site of this session that a TLS certificate names.

        Raises:
            NotAuthenticated: expired, revoked, unfit for its use or of another federation.
            NotPermitted: the party is no site of this session.
        """
        try:
            party = self._roster.identify_certificate(certificate_pem)
        except FedmrgError as error:
            raise NotAuthenticated(f"the client's certificate is refused: {error}") from error
        if party == COORDINATOR or party not in self._sites:
            raise NotPermitted(f"{party} is not a site of this session")
        return party

    def in_good_standing(self, sites: Collection[str]) -> frozenset[str]:
        """Those of `sites` that the roster in force has and does not revoke."""
        good = set()
        for site in sites:
            try:
                self._roster.entry(site)
            except (PartyUnknown, PartyRevoked):
                continue
            good.add(site)
        return frozenset(good)

    def verify(self, party: str, message: bytes, signature: bytes) -> None:
        """Return if the signature is `party`'s under the roster in force; else raise."""
        self._roster.verify(party, message, signature)
