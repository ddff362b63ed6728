"""The signed list of who takes part: names, keys and revocations, one epoch after another.

A roster file carries the roster, an Ed25519 signature over it, and the certificate of the key that
signed, issued by the federation's root. A reader pins the root (it lies in every kit), so nothing
in the file is believed before root, certificate and signature agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fedmrg_secure.core.canonical import JsonValue, canonical_json, hash_json, tagged_hash
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json
from fedmrg_secure.core.types import COORDINATOR, Signer, check_party_name
from fedmrg_secure.crypto.certificates import (
    COORDINATOR_ROLE,
    SITE_ROLE,
    CertificateRefused,
    check_roster_certificate,
    load_certificate,
    read_party_certificate,
    utc_now,
)
from fedmrg_secure.crypto.signing import check_public_key, verify_signature

ROSTER_TAG: Final = "fedmrg/roster/v1"
_SEAL_KEY_BYTES: Final = 32
_LONGEST_FILE: Final = 4 * 1024 * 1024


class RosterInvalid(FedmrgError):
    """A roster is malformed, contradicts itself, or is not signed as it must be."""

    code: ClassVar[str] = "FMRG-4541"


class PartyUnknown(FedmrgError):
    """A party is not in the roster."""

    code: ClassVar[str] = "FMRG-4542"


class PartyRevoked(FedmrgError):
    """A party's keys have been revoked."""

    code: ClassVar[str] = "FMRG-4543"


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One party.

    Args:
        party: its name; ``coordinator`` for the coordinator.
        role: ``site`` or ``coordinator``.
        institution: the legal body that answers for it; one body has one live site.
        signing_key: Ed25519 public key, 32 bytes.
        seal_key: X25519 public key, 32 bytes; empty for the coordinator, to which nothing may
            ever be sealed.
        revoked: its signatures and certificates are refused.
    """

    party: str
    role: str
    institution: str
    signing_key: bytes
    seal_key: bytes
    revoked: bool = False

    def __post_init__(self) -> None:
        check_party_name(self.party)
        if self.role not in (SITE_ROLE, COORDINATOR_ROLE):
            raise RosterInvalid(f"{self.party} has the unknown role {self.role!r}")
        if (self.role == COORDINATOR_ROLE) != (self.party == COORDINATOR):
            raise RosterInvalid(f"{self.party} cannot be a {self.role}")
        if not 1 <= len(self.institution) <= 200 or not self.institution.isprintable():
            raise RosterInvalid(f"{self.party} needs an institution of 1 to 200 characters")
        check_public_key(self.signing_key)
        if len(self.seal_key) != (_SEAL_KEY_BYTES if self.role == SITE_ROLE else 0):
            raise RosterInvalid(f"{self.party} has a sealing key of the wrong length")

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "party": self.party,
            "role": self.role,
            "institution": self.institution,
            "signing_key": self.signing_key.hex(),
            "seal_key": self.seal_key.hex(),
            "revoked": self.revoked,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RosterEntry:
        return cls(
            party=_text(value, "party"),
            role=_text(value, "role"),
            institution=_text(value, "institution"),
            signing_key=_hex(value, "signing_key"),
            seal_key=_hex(value, "seal_key"),
            revoked=_flag(value, "revoked"),
        )


@dataclass(frozen=True)
class Roster:
    """Who takes part in a federation; implements `core.types.Verifier`.

    Args:
        federation: its name, an RFC 1123 label.
        epoch: 1 for the first roster, one more for every change.
        issued: when it was signed, aware, whole seconds, UTC.
        entries: one coordinator and at least one site; no two live ones share a key or an
            institution.
    """

    federation: str
    epoch: int
    issued: datetime
    entries: tuple[RosterEntry, ...]

    def __post_init__(self) -> None:
        check_party_name(self.federation)
        if self.epoch < 1:
            raise RosterInvalid(f"a roster's epoch begins at 1, not {self.epoch}")
        names = [entry.party for entry in self.entries]
        if names != sorted(set(names)):
            raise RosterInvalid("the roster's parties are not unique and sorted by name")
        if COORDINATOR not in names or len(names) < 2:
            raise RosterInvalid("a roster lists one coordinator and at least one site")
        _refuse_shared("signing key", [entry.signing_key.hex() for entry in self.entries])
        sites = [entry for entry in self.entries if entry.role == SITE_ROLE]
        _refuse_shared("sealing key", [entry.seal_key.hex() for entry in sites])
        live = [entry for entry in sites if not entry.revoked]
        _refuse_shared(
            "institution", [" ".join(entry.institution.casefold().split()) for entry in live]
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the roster's canonical JSON, hex: what a session manifest pins."""
        return hash_json(ROSTER_TAG, self.to_json()).hex()

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites that are not revoked, sorted."""
        return tuple(e.party for e in self.entries if e.role == SITE_ROLE and not e.revoked)

    @cached_property
    def public_keys(self) -> Mapping[str, bytes]:
        """Every party's Ed25519 public key, the revoked ones' too: for reading old logs."""
        return {entry.party: entry.signing_key for entry in self.entries}

    def entry(self, party: str) -> RosterEntry:
        """The entry of a party in good standing.

        Raises:
            PartyUnknown: there is no such party.
            PartyRevoked: its keys have been revoked.
        """
        found = self._by_name.get(party)
        if found is None:
            raise PartyUnknown(f"{party!r} is not in the roster of {self.federation}")
        if found.revoked:
            raise PartyRevoked(f"{party} was revoked in roster epoch {self.epoch} or before")
        return found

    def verify(self, party: str, message: bytes, signature: bytes) -> None:
        """Return if `signature` is `party`'s Ed25519 signature of `message`; else raise.

        Raises:
            PartyUnknown, PartyRevoked: see `entry`.
            SignatureInvalid: the signature does not verify.
        """
        verify_signature(self.entry(party).signing_key, message, signature)

    def identify_certificate(self, encoded: bytes, now: datetime | None = None) -> str:
        """The party that a TLS certificate (PEM or DER) names, if it may speak now.

        Parsing is cached by content; time and revocation are looked at in every call.

        Args:
            encoded: the leaf certificate that TLS has already traced to the authority.
            now: aware; the current time unless given.

        Raises:
            CertificateRefused: not exactly one URI name, another federation, the wrong extended
                key usage for its role, or not valid at `now`.
            PartyUnknown, PartyRevoked: the roster does not let it speak.
        """
        facts = read_party_certificate(encoded)
        if facts.federation != self.federation:
            raise CertificateRefused(
                f"a certificate of the federation {facts.federation} is not valid in "
                f"{self.federation}"
            )
        facts.check_time(now or utc_now())
        return self.entry(facts.party).party

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "federation": self.federation,
            "epoch": self.epoch,
            "issued": self.issued.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "entries": [entry.to_json() for entry in self.entries],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Roster:
        """Read the JSON form.

        Raises:
            RosterInvalid: a field is missing, of the wrong type, or breaks a rule above.
        """
        epoch, entries = value.get("epoch"), value.get("entries")
        if not isinstance(epoch, int) or isinstance(epoch, bool):
            raise RosterInvalid("the roster's epoch is missing or not an integer")
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise RosterInvalid("the roster's entries are missing or not objects")
        try:
            issued = datetime.strptime(_text(value, "issued"), "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            raise RosterInvalid("the roster's issued is not a time") from None
        return cls(
            _text(value, "federation"),
            epoch,
            issued.replace(tzinfo=UTC),
            tuple(RosterEntry.from_json(each) for each in entries),
        )

    @cached_property
    def _by_name(self) -> Mapping[str, RosterEntry]:
        return {entry.party: entry for entry in self.entries}


def sign_roster(roster: Roster, signer: Signer, certificate: x509.Certificate) -> bytes:
    """The roster file: canonical JSON with signature and the signing key's certificate."""
    return canonical_json(
        {
            "version": ROSTER_TAG,
            "roster": roster.to_json(),
            "signature": signer.sign(_signed_bytes(roster)).hex(),
            "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        }
    )


def read_roster(file: bytes, authority_pem: bytes, *, at: datetime | None = None) -> Roster:
    """The roster in `file`, verified up to the pinned root certificate.

    Args:
        file: what `sign_roster` made.
        authority_pem: the federation's root certificate, from a kit or another trusted source.
        at: when the roster's certificate must have been valid (aware): now, unless given.

    Raises:
        RosterInvalid: malformed, or it breaks a rule of `Roster`.
        CertificateRefused: the signing certificate does not come from the root, or has expired.
        SignatureInvalid: the signature is not over this roster.
    """
    return _verified(file, authority_pem, at or utc_now())


def read_past_roster(file: bytes, authority_pem: bytes) -> Roster:
    """As `read_roster`, for a run of the past: certificates count as of the roster's own date."""
    return _verified(file, authority_pem, None)


def _verified(file: bytes, authority_pem: bytes, at: datetime | None) -> Roster:
    if len(file) > _LONGEST_FILE:
        raise RosterInvalid(f"a roster file of {len(file)} bytes is too long")
    try:
        value = read_json(file)
    except JsonRefused as error:
        raise RosterInvalid(f"the roster file {error}") from None
    if not isinstance(value, dict) or value.get("version") != ROSTER_TAG:
        raise RosterInvalid(f"the roster file is not of the version {ROSTER_TAG}")
    body = value.get("roster")
    if not isinstance(body, dict):
        raise RosterInvalid("the roster file holds no roster")
    roster = Roster.from_json(body)
    certificate = load_certificate(_text(value, "certificate").encode())
    key = check_roster_certificate(
        certificate, load_certificate(authority_pem), roster.federation, at or roster.issued
    )
    verify_signature(key, _signed_bytes(roster), _hex(value, "signature"))
    return roster


def _signed_bytes(roster: Roster) -> bytes:
    return tagged_hash("fedmrg/roster-signature/v1", bytes.fromhex(roster.hash))


def _refuse_shared(what: str, values: list[str]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise RosterInvalid(f"two parties of the roster share the {what} {value}")


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise RosterInvalid(f"the roster's {key} is missing or not a string")
    return text


def _hex(value: Mapping[str, Any], key: str) -> bytes:
    try:
        return bytes.fromhex(_text(value, key))
    except ValueError:
        raise RosterInvalid(f"the roster's {key} is not hexadecimal") from None


def _flag(value: Mapping[str, Any], key: str) -> bool:
    flag = value.get(key)
    if not isinstance(flag, bool):
        raise RosterInvalid(f"the roster's {key} is missing or not true or false")
    return flag
