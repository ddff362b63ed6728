"""A federation's authority: a root that rests, an issuing authority and a roster key that work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from fedmrg_secure.core.types import check_party_name
from fedmrg_secure.crypto.certificates import fingerprint, utc_now
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.roster import Roster, RosterEntry, sign_roster
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.provisioning import certificate_forms as forms
from fedmrg_secure.provisioning.certificate_forms import EnrolmentRefused

ROOT_DAYS: Final = 3650
ISSUING_DAYS: Final = 365
LEAF_DAYS: Final = 30
ROSTER_SIGNER: Final = "roster"
"""The roster key's party name; it signs rosters and is no party of any run."""


@dataclass(frozen=True)
class Authority:
    """The working half of an authority: everything but the root's private key.

    Args:
        federation: its name, an RFC 1123 label.
        root: the root certificate, which every kit pins.
        issuing: signs the parties' TLS leaves.
        roster_key: signs rosters.
        roster_certificate: the root's word for the roster key.
        entries: who is enrolled, revoked ones included, sorted by name.
        epoch: of the newest roster; 0 when there is none yet.
    """

    federation: str
    root: x509.Certificate = field(repr=False)
    issuing: forms.Issuer = field(repr=False)
    roster_key: SigningKey = field(repr=False)
    roster_certificate: x509.Certificate = field(repr=False)
    entries: tuple[RosterEntry, ...] = ()
    epoch: int = 0

    @property
    def root_pem(self) -> bytes:
        """The root certificate's PEM text: public, the trust anchor of every kit."""
        return forms.pem(self.root)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root certificate, hex."""
        return fingerprint(self.root)

    def issue(
        self,
        role: str,
        party: str,
        key: ec.EllipticCurvePublicKey,
        *,
        hosts: tuple[str, ...] = (),
        days: int = LEAF_DAYS,
        now: datetime | None = None,
    ) -> bytes:
        """A TLS leaf for a party and the issuing certificate, PEM, leaf first.

        Raises:
            EnrolmentRefused: the key is not on P-256, a host is not a name or address, or the
                issuing authority has run out.
        """
        if not isinstance(key.curve, ec.SECP256R1):
            raise EnrolmentRefused(f"the TLS key of {party} is not on the curve P-256")
        leaf = forms.party_certificate(
            self.federation, role, party, hosts, self.issuing, key, now or utc_now(), days
        )
        return forms.pem(leaf) + forms.pem(self.issuing.certificate)

    def enrol(self, entry: RosterEntry) -> Authority:
        """The authority with one more party, or the same if it is enrolled with these keys.

        Raises:
            EnrolmentRefused: the party is revoked, or is enrolled with other keys, role or
                institution (a renewal must bring the same ones).
        """
        for known in self.entries:
            if known.party != entry.party:
                continue
            if known.revoked:
                raise EnrolmentRefused(f"{entry.party} has been revoked; enrol under a new name")
            if known != entry:
                raise EnrolmentRefused(
                    f"{entry.party} is already enrolled with other keys or another institution",
                    hint="revoke the old entry and enrol under a new name",
                )
            return self
        entries = sorted([*self.entries, entry], key=lambda each: each.party)
        return replace(self, entries=tuple(entries))

    def revoke(self, party: str) -> Authority:
        """The authority with a party's keys revoked; the next roster says so.

        Raises:
            EnrolmentRefused: the party is not enrolled.
        """
        if party not in {entry.party for entry in self.entries}:
            raise EnrolmentRefused(f"{party!r} is not enrolled in {self.federation}")
        entries = (
            replace(entry, revoked=True) if entry.party == party else entry
            for entry in self.entries
        )
        return replace(self, entries=tuple(entries))

    def publish(self, now: datetime | None = None) -> tuple[Authority, bytes]:
        """The next epoch's signed roster file, and the authority that remembers the epoch.

        Raises:
            RosterInvalid: the entries break a rule of `crypto.roster.Roster`.
        """
        issued = (now or utc_now()).replace(microsecond=0)
        roster = Roster(self.federation, self.epoch + 1, issued, self.entries)
        file = sign_roster(roster, self.roster_key, self.roster_certificate)
        return replace(self, epoch=roster.epoch), file


def create_authority(
    federation: str, *, now: datetime | None = None
) -> tuple[Authority, ec.EllipticCurvePrivateKey]:
    """A new authority and, apart, its root's private key.

    Raises:
        InvalidName: `federation` is not an RFC 1123 label.
    """
    check_party_name(federation)
    now = now or utc_now()
    root_key = ec.generate_private_key(ec.SECP384R1())
    root = forms.Issuer(forms.root_certificate(federation, root_key, now, ROOT_DAYS), root_key)
    issuing_key = ec.generate_private_key(ec.SECP384R1())
    issuing = forms.Issuer(
        forms.issuing_certificate(federation, root, issuing_key.public_key(), now, ISSUING_DAYS),
        issuing_key,
    )
    roster_key = ed25519.Ed25519PrivateKey.generate()
    certificate = forms.roster_certificate(
        federation, root, roster_key.public_key(), now, ISSUING_DAYS
    )
    signer = SigningKey(ROSTER_SIGNER, SecretBytes(roster_key.private_bytes_raw()))
    return Authority(federation, root.certificate, issuing, signer, certificate), root_key
