"""Certificates that almost identify a party: each lacks or exceeds one thing."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from fedmrg_secure.crypto.certificates import (
    DOCUMENT_SIGNING,
    CertificateRefused,
    check_roster_certificate,
    coordinator_dns_name,
    load_certificate,
    public_key,
    read_party_certificate,
    spiffe_id,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    uris: list[str] | None,
    uses: list[ObjectIdentifier] | None,
    *,
    ca: bool | None = False,
    encoding: Encoding = Encoding.PEM,
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if uris is not None:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [x509.DNSName("a.example")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(encoding)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_proper_leaf_is_read(encoding: Encoding) -> None:
    site = read_party_certificate(
        certificate(["spiffe://lungs/site/spain"], [CLIENT], encoding=encoding)
    )
    assert (site.federation, site.role, site.party) == ("lungs", "site", "spain")
    assert (site.not_before, site.not_after) == (NOW, NOW + timedelta(days=1))
    server = read_party_certificate(certificate(["spiffe://lungs/coordinator"], [SERVER]))
    assert (server.role, server.party) == ("coordinator", "coordinator")


@pytest.mark.parametrize(
    "uris",
    [
        None,
        [],
        ["spiffe://lungs/site/spain", "spiffe://lungs/site/italy"],
        ["spiffe://lungs/site/"],
        ["spiffe://lungs/site/spain/"],
        ["spiffe://lungs/site/spain/extra"],
        ["spiffe://lungs/site/Spain"],
        ["spiffe://lungs/site/spain?x=1"],
        ["spiffe://lungs/site/coordinator"],
        ["spiffe://lungs/coordinator/spain"],
        ["spiffe://lungs/roster"],
        ["spiffe:///site/spain"],
        ["https://lungs/site/spain"],
        [" spiffe://lungs/site/spain"],
        ["spiffe://lungs/site/spain\n"],
    ],
)
def test_names_that_are_no_single_party_are_refused(uris: list[str] | None) -> None:
    with pytest.raises(CertificateRefused):
        read_party_certificate(certificate(uris, [CLIENT]))


@pytest.mark.parametrize(
    ("uri", "uses"),
    [
        ("spiffe://lungs/site/spain", None),
        ("spiffe://lungs/site/spain", [SERVER]),
        ("spiffe://lungs/site/spain", [CLIENT, SERVER]),
        ("spiffe://lungs/site/spain", [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
        ("spiffe://lungs/coordinator", None),
        ("spiffe://lungs/coordinator", [CLIENT]),
        ("spiffe://lungs/coordinator", [SERVER, CLIENT]),
    ],
)
def test_a_role_has_exactly_its_own_key_usage(
    uri: str, uses: list[ObjectIdentifier] | None
) -> None:
    with pytest.raises(CertificateRefused):
        read_party_certificate(certificate([uri], uses))


@pytest.mark.parametrize("ca", [True, None])
def test_an_authority_is_no_party(ca: bool | None) -> None:
    with pytest.raises(CertificateRefused):
        read_party_certificate(certificate(["spiffe://lungs/site/spain"], [CLIENT], ca=ca))


@pytest.mark.parametrize("junk", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82", b"junk"])
def test_what_is_no_certificate_is_refused(junk: bytes) -> None:
    with pytest.raises(CertificateRefused):
        read_party_certificate(junk)


ROOT_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
ROOT_KEY = ec.generate_private_key(ec.SECP384R1())
ROSTER_KEY = ed25519.Ed25519PrivateKey.generate()


def issued(
    *,
    uri: str = "spiffe://lungs/roster",
    use: ObjectIdentifier = DOCUMENT_SIGNING,
    key: CertificatePublicKeyTypes = ROSTER_KEY.public_key(),  # noqa: B008
    issuer: x509.Name = ROOT_NAME,
    signer: ec.EllipticCurvePrivateKey = ROOT_KEY,
    ca: bool = False,
) -> x509.Certificate:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    return (
        x509.CertificateBuilder(issuer, ROOT_NAME, key, 7, NOW, NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .sign(signer, hashes.SHA384())
    )


ROOT = issued(key=ROOT_KEY.public_key(), ca=True)


def test_the_roster_certificate_yields_its_key() -> None:
    key = check_roster_certificate(issued(), ROOT, "lungs", NOW)
    assert key == ROSTER_KEY.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ({"uri": "spiffe://hearts/roster"}, "not for lungs"),
        ({"uri": "spiffe://lungs/site/spain"}, "not for lungs"),
        ({"use": CLIENT}, "documents"),
        ({"use": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}, "documents"),
        ({"key": KEY.public_key()}, "no Ed25519 key"),
        ({"issuer": x509.Name([])}, "not issued"),
        ({"signer": ec.generate_private_key(ec.SECP384R1())}, "not issued"),
        ({"ca": True}, "identifies no party"),
    ],
)
def test_a_flawed_roster_certificate_is_refused(flaw: dict[str, Any], message: str) -> None:
    with pytest.raises(CertificateRefused, match=message):
        check_roster_certificate(issued(**flaw), ROOT, "lungs", NOW)


def test_the_roster_certificate_has_its_time_and_its_issuer() -> None:
    for at in (NOW - timedelta(seconds=1), NOW + timedelta(days=1, seconds=1)):
        with pytest.raises(CertificateRefused, match=r"valid before|expired"):
            check_roster_certificate(issued(), ROOT, "lungs", at)
    leaf_as_root = issued(key=ROOT_KEY.public_key(), ca=False)
    with pytest.raises(CertificateRefused, match="not an authority"):
        check_roster_certificate(issued(), leaf_as_root, "lungs", NOW)


def test_names_of_parties() -> None:
    assert spiffe_id("lungs", "site", "spain") == "spiffe://lungs/site/spain"
    assert spiffe_id("lungs", "coordinator", "coordinator") == "spiffe://lungs/coordinator"
    assert coordinator_dns_name("lungs") == "coordinator.lungs.internal"


LEAF = certificate(["spiffe://lungs/site/spain"], [CLIENT], encoding=Encoding.DER)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("a003020102", "a00302010a"),  # version 11 (InvalidVersion)
        ("06082a8648ce3d030107", "06082a8648ce3d030157"),  # a curve that nobody knows
        ("06072a8648ce3d0201", "06072a8648ce3d0257"),  # a key of a kind that nobody knows
        ("0603551d11", "0603551d13"),  # basic constraints twice (DuplicateExtension)
        ("0603551d25", "0603551d1e"),  # name constraints that are none
        ("8619", "a319"),  # a name of a kind that cryptography does not read
        ("8619", "8819"),  # a registered identifier that is none
        ("170d", "180d"),  # a time in a form that is none
    ],
)
def test_what_cryptography_cannot_read_is_refused(found: str, put: str, encoding: Encoding) -> None:
    """Some of it raises only when a field is looked at, and not a `ValueError`."""
    assert LEAF.hex().count(found) >= 1
    encoded = bytes.fromhex(LEAF.hex().replace(found, put))
    if encoding is Encoding.PEM:
        body = base64.encodebytes(encoded)
        encoded = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    try:
        read_party_certificate(encoded)
        public_key(load_certificate(encoded))
    except CertificateRefused:
        return
    pytest.fail("it was read")
