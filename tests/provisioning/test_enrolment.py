"""Enrolment step by step as in a real federation, and requests that prove nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from fedmrg_secure.core.canonical import canonical_json, hash_json
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.crypto.roster import RosterInvalid, read_roster
from fedmrg_secure.crypto.signing import SignatureInvalid
from fedmrg_secure.provisioning.authority import Authority, create_authority
from fedmrg_secure.provisioning.certificate_forms import EnrolmentRefused
from fedmrg_secure.provisioning.enrolment import (
    REQUEST_FORM,
    PartyKeys,
    accept_request,
    read_request,
    write_request,
)
from fedmrg_secure.provisioning.files import IdentityFileInvalid
from tests.core.hostile_json import HOSTILE, with_value

SITE_KEYS = PartyKeys.generate("site")
ENTRY = SITE_KEYS.entry("site", "spain", "Hospital of Spain")


@pytest.fixture(scope="module")
def authority() -> Authority:
    made = create_authority("lungs")[0]
    server = PartyKeys.generate("coordinator")
    return made.enrol(server.entry("coordinator", "coordinator", "Trust"))


def request(**changes: object) -> bytes:
    value = json.loads(write_request(SITE_KEYS, "lungs", ENTRY))
    value.update(changes)
    return canonical_json(value)


def test_a_request_holds_no_private_key() -> None:
    file = write_request(SITE_KEYS, "lungs", ENTRY)
    assert b"PRIVATE" not in file
    for secret in (SITE_KEYS.signing.private_bytes_raw(), SITE_KEYS.seal.private_bytes_raw()):
        assert secret.hex().encode() not in file
        assert secret not in file


def test_a_request_is_read_and_enrolled(authority: Authority) -> None:
    read = read_request(write_request(SITE_KEYS, "lungs", ENTRY))
    assert (read.federation, read.entry, read.hosts) == ("lungs", ENTRY, ())
    assert read.tls_key == SITE_KEYS.tls.public_key()
    enrolled, file = accept_request(authority, read).publish()
    roster = read_roster(file, authority.root_pem)
    assert roster.entry("spain") == ENTRY
    assert (roster.epoch, enrolled.epoch) == (1, 1)


def test_the_coordinator_has_no_sealing_key_and_may_name_hosts() -> None:
    keys = PartyKeys.generate("coordinator")
    entry = keys.entry("coordinator", "coordinator", "Trust")
    read = read_request(write_request(keys, "lungs", entry, ("agg.example", "10.0.0.1")))
    assert read.entry.seal_key == b""
    assert read.hosts == ("agg.example", "10.0.0.1")


@pytest.mark.parametrize(
    "changes",
    [
        {"federation": "hearts"},
        {"hosts": ["evil.example"]},
        {"signature": "00" * 64},
        {"signature": "00"},
        {"entry": {**ENTRY.to_json(), "institution": "Another"}},
        {"entry": {**ENTRY.to_json(), "party": "italy"}},
        {"csr": "x"},
        {"extra": 1},
    ],
)
def test_the_signature_covers_the_whole_request(changes: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalid):
        read_request(request(**changes))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"{}",
        b"[]",
        request(version="fedmrg/enrolment-request/v2"),
        request(entry=None),
        request(hosts=[1]),
        request(hosts="x"),
        request(signature=None),
        request(signature="zz"),
        request(entry={"party": "spain"}),
    ],
)
def test_what_is_no_request_is_refused(file: bytes) -> None:
    with pytest.raises(FedmrgError):
        read_request(file)


def test_a_request_of_megabytes_is_not_even_parsed() -> None:
    with pytest.raises(IdentityFileInvalid, match="too long"):
        read_request(request(hosts=["a" * 2**20]))


def signed_anew(csr: str | None = None, hosts: tuple[str, ...] = (), **entry: object) -> bytes:
    """A request by the rightful Ed25519 key that still asks for something wrong."""
    body = json.loads(write_request(SITE_KEYS, "lungs", replace(ENTRY, **entry), hosts))  # type: ignore[arg-type]
    del body["signature"]
    if csr is not None:
        body["csr"] = csr
    return canonical_json(
        {**body, "signature": SITE_KEYS.signing.sign(hash_json(REQUEST_FORM, body)).hex()}
    )


def test_the_tls_key_must_be_proven() -> None:
    assert read_request(signed_anew()).entry == ENTRY
    pem = json.loads(write_request(SITE_KEYS, "lungs", ENTRY))["csr"]
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    stolen = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    for csr in ("", "no csr", stolen):
        with pytest.raises(EnrolmentRefused):
            read_request(signed_anew(csr=csr))


def test_a_federation_that_is_no_name_is_refused_before_it_is_shown() -> None:
    body = json.loads(write_request(SITE_KEYS, "lungs", ENTRY))
    del body["signature"]
    body["federation"] = "lungs\x1b[2J"
    signature = SITE_KEYS.signing.sign(hash_json(REQUEST_FORM, body)).hex()
    with pytest.raises(InvalidName):
        read_request(canonical_json({**body, "signature": signature}))


def test_a_site_cannot_ask_for_a_server_name_or_come_revoked() -> None:
    with pytest.raises(EnrolmentRefused):
        read_request(signed_anew(hosts=("coordinator.lungs.internal",)))
    with pytest.raises(EnrolmentRefused):
        read_request(signed_anew(revoked=True))


def test_only_p256_keys_get_certificates(authority: Authority) -> None:
    weak = ec.generate_private_key(ec.SECP256K1()).public_key()
    with pytest.raises(EnrolmentRefused):
        authority.issue("site", "spain", weak)


def test_a_request_for_another_federation_is_refused(authority: Authority) -> None:
    read = read_request(write_request(SITE_KEYS, "hearts", ENTRY))
    with pytest.raises(EnrolmentRefused, match="hearts"):
        accept_request(authority, read)


def test_a_renewal_needs_the_same_keys(authority: Authority) -> None:
    enrolled = authority.enrol(ENTRY)
    assert enrolled.enrol(ENTRY) == enrolled
    other = PartyKeys.generate("site").entry("site", "spain", "Hospital of Spain")
    with pytest.raises(EnrolmentRefused, match="already enrolled"):
        enrolled.enrol(other)


def test_a_revoked_party_stays_out(authority: Authority) -> None:
    revoked = authority.enrol(ENTRY).revoke("spain")
    with pytest.raises(EnrolmentRefused, match="revoked"):
        revoked.enrol(ENTRY)
    with pytest.raises(EnrolmentRefused, match="not enrolled"):
        authority.revoke("france")


def test_one_institution_has_one_live_site(authority: Authority) -> None:
    twin = PartyKeys.generate("site").entry("site", "spain-2", " hospital of  SPAIN")
    with pytest.raises(RosterInvalid, match="institution"):
        authority.enrol(ENTRY).enrol(twin).publish()


def test_every_roster_has_a_new_epoch(authority: Authority) -> None:
    first, one = authority.enrol(ENTRY).publish()
    second, two = (
        first.revoke("spain")
        .enrol(PartyKeys.generate("site").entry("site", "italy", "Hospital of Italy"))
        .publish()
    )
    assert [read_roster(file, authority.root_pem).epoch for file in (one, two)] == [1, 2]
    assert second.epoch == 2


def test_keys_are_of_the_stated_kinds() -> None:
    assert isinstance(SITE_KEYS.tls.curve, ec.SECP256R1)
    assert isinstance(SITE_KEYS.signing, ed25519.Ed25519PrivateKey)
    assert PartyKeys.generate("coordinator").seal is None


@pytest.mark.parametrize("key", ["csr", "hosts", "entry", "federation", "signature", "extra"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_that_nobody_signs_is_no_request(key: str, text: str) -> None:
    value = json.loads(write_request(SITE_KEYS, "lungs", ENTRY))
    for file in (text.encode(), with_value(value, key, text), with_value(value, key, f"[{text}]")):
        with pytest.raises(IdentityFileInvalid) as caught:
            read_request(file, "spain.json")
        assert (caught.value.location, bool(caught.value.hint)) == ("spain.json", True)


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("020100", "02010a"),  # version 11 (InvalidVersion)
        ("06082a8648ce3d030107", "06082a8648ce3d030157"),  # a curve that nobody knows
        ("06072a8648ce3d0201", "06072a8648ce3d0257"),  # a key of a kind that nobody knows
        ("06082a8648ce3d040302", "06082a8648ce3d040357"),  # so too a signature
    ],
)
def test_a_csr_that_cryptography_cannot_read_proves_nothing(found: str, put: str) -> None:
    """Its sender has signed the request that holds it."""
    pem = json.loads(write_request(SITE_KEYS, "lungs", ENTRY))["csr"]
    der = x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER).hex()
    assert found in der
    body = base64.encodebytes(bytes.fromhex(der.replace(found, put, 1))).decode()
    title = "CERTIFICATE REQUEST-----\n"
    with pytest.raises(EnrolmentRefused, match="does not prove"):
        read_request(signed_anew(csr=f"-----BEGIN {title}{body}-----END {title}"))
