"""The certificates of a federation, field by field (RFC 5280).

root (P-384, 10 years, path length 1)
  issuing authority (P-384, 1 year, path length 0)
    site leaf (P-256, TLS client)      spiffe://FEDERATION/site/NAME
    coordinator leaf (P-256, TLS server)   spiffe://FEDERATION/coordinator
  roster key (Ed25519, document signing)   spiffe://FEDERATION/roster
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import COORDINATOR
from fedmrg_secure.crypto.certificates import (
    COORDINATOR_ROLE,
    DOCUMENT_SIGNING,
    SITE_ROLE,
    coordinator_dns_name,
    roster_spiffe_id,
    spiffe_id,
)

CLOCK_SKEW: Final = timedelta(minutes=10)
"""How far back a certificate's validity begins: clocks of hospitals differ."""

_DNS_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class EnrolmentRefused(InputError):
    """The authority does not enrol, certify or revoke this party."""

    code: ClassVar[str] = "FMRG-6611"


@dataclass(frozen=True)
class Issuer:
    """A certificate and the private key that signs under it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def root_certificate(
    federation: str, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.Certificate:
    """The self-signed root."""
    name = _name(federation, "root authority")
    builder = _builder(name, name, key.public_key(), now, days)
    return _authority(builder, path_length=1).sign(key, hashes.SHA384())


def issuing_certificate(
    federation: str, root: Issuer, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.Certificate:
    """The authority that signs the parties' leaves and nothing else."""
    builder = _builder(
        _name(federation, "issuing authority"), root.certificate.subject, key, now, days
    )
    builder = _authority(builder, path_length=0)
    return _issued_by(builder, root).sign(root.key, hashes.SHA384())


def roster_certificate(
    federation: str, root: Issuer, key: ed25519.Ed25519PublicKey, now: datetime, days: int
) -> x509.Certificate:
    """The key that signs rosters; of no use in TLS."""
    builder = _builder(_name(federation, "roster"), root.certificate.subject, key, now, days)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(roster_spiffe_id(federation))]
    builder = _end_entity(builder, names, DOCUMENT_SIGNING)
    return _issued_by(builder, root).sign(root.key, hashes.SHA384())


def party_certificate(
    federation: str,
    role: str,
    party: str,
    hosts: tuple[str, ...],
    issuing: Issuer,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.Certificate:
    """A site's TLS client leaf, or the coordinator's TLS server leaf.

    Args:
        hosts: further DNS names or IP addresses of the coordinator; empty for a site.

    Raises:
        EnrolmentRefused: the issuing authority has run out, or a host is neither.
    """
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(spiffe_id(federation, role, party))
    ]
    use = ExtendedKeyUsageOID.CLIENT_AUTH
    if role == COORDINATOR_ROLE:
        use = ExtendedKeyUsageOID.SERVER_AUTH
        names.append(x509.DNSName(coordinator_dns_name(federation)))
        names.extend(_host(host) for host in hosts)
    # No leaf outlives its issuer.
    days_left = (issuing.certificate.not_valid_after_utc - now).days
    if days_left < 1:
        raise EnrolmentRefused(
            f"the issuing authority of {federation} has run out",
            hint="make a new authority and enrol everybody anew",
        )
    title = COORDINATOR if role == COORDINATOR_ROLE else f"{SITE_ROLE} {party}"
    subject = _name(federation, title)
    builder = _builder(subject, issuing.certificate.subject, key, now, min(days, days_left))
    builder = _end_entity(builder, names, use)
    return _issued_by(builder, issuing).sign(issuing.key, hashes.SHA384())


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate's PEM text."""
    return certificate.public_bytes(Encoding.PEM)


_PartyKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def _builder(
    subject: x509.Name, issuer: x509.Name, key: _PartyKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=path_length), critical=True
    ).add_extension(_key_usage(certificates=True), critical=True)


def _end_entity(
    builder: x509.CertificateBuilder,
    names: list[x509.GeneralName],
    use: ObjectIdentifier,
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )


def _issued_by(builder: x509.CertificateBuilder, issuer: Issuer) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
        critical=False,
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(federation: str, title: str) -> x509.Name:
    # RFC 5280 limits a common name to 64 characters; identity is in the URI, not here.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation),
            x509.NameAttribute(NameOID.COMMON_NAME, title[:64]),
        ]
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host):
            raise EnrolmentRefused(f"{host!r} is neither a DNS name nor an address") from None
        return x509.DNSName(host)
