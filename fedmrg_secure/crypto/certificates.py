"""What a certificate of a federation says: one SPIFFE identity, one role, one span of time.

Only facts that need no chain are read here. Whether the federation's authority stands behind a
certificate is decided by TLS for connections, by `provisioning.site_kit` for kits, and by
`check_roster_certificate` for the roster's own signing certificate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import COORDINATOR, check_party_name

SITE_ROLE: Final = "site"
COORDINATOR_ROLE: Final = "coordinator"

DOCUMENT_SIGNING: Final = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
"""id-kp-documentSigning (RFC 9336): the roster certificate's only use, worthless in TLS."""

MALFORMED: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    InternalError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises of bytes that are no certificate or request: some of it only when a
field is first read."""

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_TLS_USE: Final = {
    SITE_ROLE: ExtendedKeyUsageOID.CLIENT_AUTH,
    COORDINATOR_ROLE: ExtendedKeyUsageOID.SERVER_AUTH,
}


class CertificateRefused(FedmrgError):
    """A certificate does not identify a party of this federation, now."""

    code: ClassVar[str] = "FMRG-4531"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What one party certificate claims, chain unchecked."""

    federation: str
    party: str
    role: str
    not_before: datetime
    not_after: datetime

    def check_time(self, now: datetime) -> None:
        """Return if the certificate is valid at `now` (aware), else raise `CertificateRefused`."""
        _check_span(f"the certificate of {self.party}", self.not_before, self.not_after, now)


def spiffe_id(federation: str, role: str, party: str) -> str:
    """The URI that names a party: ``spiffe://FEDERATION/site/NAME`` or ``.../coordinator``."""
    check_party_name(federation)
    if role == COORDINATOR_ROLE:
        return f"spiffe://{federation}/coordinator"
    return f"spiffe://{federation}/site/{check_party_name(party)}"


def roster_spiffe_id(federation: str) -> str:
    """The URI that names the federation's roster key."""
    return f"spiffe://{check_party_name(federation)}/roster"


def coordinator_dns_name(federation: str) -> str:
    """The DNS name in the coordinator's certificate: what sites ask TLS to expect."""
    return f"coordinator.{check_party_name(federation)}.internal"


def utc_now() -> datetime:
    """The time of day, aware, UTC."""
    return datetime.now(UTC)


def load_certificate(encoded: bytes) -> x509.Certificate:
    """One certificate from PEM or DER.

    Raises:
        CertificateRefused: it is neither.
    """
    try:
        if encoded.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(encoded)
        return x509.load_der_x509_certificate(encoded)
    except MALFORMED:
        raise CertificateRefused("these bytes are not a certificate") from None


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER, hex: what two people compare by telephone."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def public_key(certificate: x509.Certificate) -> object:
    """The certificate's public key, of whatever kind `cryptography` knows.

    Raises:
        CertificateRefused: it holds none of these.
    """
    try:
        return certificate.public_key()
    except MALFORMED:
        raise CertificateRefused("the certificate holds no key of a known kind") from None


def parse_federation(roster_certificate: x509.Certificate) -> str:
    """The federation that a roster certificate is for.

    Raises:
        CertificateRefused: it is no roster's certificate.
    """
    match = re.fullmatch(r"spiffe://([a-z0-9-]+)/roster", _only_uri(roster_certificate))
    if match is None:
        raise CertificateRefused("the certificate is not for a federation's roster")
    return match.group(1)


@lru_cache(maxsize=1024)
def read_party_certificate(encoded: bytes) -> CertificateFacts:
    """The facts of a party's TLS certificate, PEM or DER; cached by content.

    Raises:
        CertificateRefused: not exactly one URI name, a name that is no party's, a certificate of
            an authority, or an extended key usage other than the role's.
    """
    certificate = load_certificate(encoded)
    federation, role, party = _parse_spiffe_id(_only_uri(certificate))
    uses = set(_extension(certificate, x509.ExtendedKeyUsage, "extended key usage"))
    if uses != {_TLS_USE[role]}:
        raise CertificateRefused(f"the certificate of {party} lacks the key usage of a {role}")
    _refuse_authority(certificate)
    return CertificateFacts(federation, party, role, *_span(certificate))


def check_roster_certificate(
    certificate: x509.Certificate, authority: x509.Certificate, federation: str, at: datetime
) -> bytes:
    """The Ed25519 key (32 bytes) that may sign this federation's roster at the time `at`.

    Raises:
        CertificateRefused: not issued by `authority`, for another federation or use, or out of
            its time.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (*MALFORMED, InvalidSignature):
        raise CertificateRefused(
            "the roster's certificate was not issued by this federation's authority"
        ) from None
    if not _extension(authority, x509.BasicConstraints, "basic constraints").ca:
        raise CertificateRefused("the roster's issuer is not an authority")
    if _only_uri(certificate) != roster_spiffe_id(federation):
        raise CertificateRefused(f"the roster's certificate is not for {federation}")
    uses = set(_extension(certificate, x509.ExtendedKeyUsage, "extended key usage"))
    if uses != {DOCUMENT_SIGNING}:
        raise CertificateRefused("the roster's certificate is not for signing documents")
    _refuse_authority(certificate)
    _check_span("the roster's certificate", *_span(certificate), at)
    key = public_key(certificate)
    if not isinstance(key, Ed25519PublicKey):
        raise CertificateRefused("the roster's certificate holds no Ed25519 key")
    return key.public_bytes_raw()


def _parse_spiffe_id(uri: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"spiffe://([a-z0-9-]+)/(?:(coordinator)|site/([a-z0-9-]+))", uri)
    if match is None:
        raise CertificateRefused("the certificate's URI does not name a party of a federation")
    federation, coordinator, site = match.groups()
    if coordinator:
        return federation, COORDINATOR_ROLE, COORDINATOR
    if site == COORDINATOR:
        raise CertificateRefused(f"no site may be called {COORDINATOR}")
    return federation, SITE_ROLE, site


def _only_uri(certificate: x509.Certificate) -> str:
    names = _extension(certificate, x509.SubjectAlternativeName, "subject alternative name")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise CertificateRefused(f"the certificate has {len(uris)} URI names instead of one")
    return uris[0]


def _refuse_authority(certificate: x509.Certificate) -> None:
    if _extension(certificate, x509.BasicConstraints, "basic constraints").ca:
        raise CertificateRefused("an authority's certificate identifies no party")


def _extension(certificate: x509.Certificate, kind: type[_Extension], title: str) -> _Extension:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (*MALFORMED, x509.ExtensionNotFound):
        raise CertificateRefused(f"the certificate has no (or no single) {title}") from None


def _span(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    try:
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except MALFORMED:
        raise CertificateRefused("the certificate's span of time is malformed") from None


def _check_span(what: str, not_before: datetime, not_after: datetime, now: datetime) -> None:
    if now < not_before:
        raise CertificateRefused(
            f"{what} is not valid before {not_before:%Y-%m-%dT%H:%M:%SZ}",
            hint="compare the clocks of both machines",
        )
    if now > not_after:
        raise CertificateRefused(
            f"{what} expired at {not_after:%Y-%m-%dT%H:%M:%SZ}",
            hint="request a new certificate from the federation's authority",
        )
