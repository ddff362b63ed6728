"""Parsers of who is who: rosters, certificates, requests and grants."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st

from fedmrg_secure.core.canonical import canonical_json, hash_json
from fedmrg_secure.core.foreign_json import read_json
from fedmrg_secure.crypto.certificates import COORDINATOR_ROLE, SITE_ROLE, read_party_certificate
from fedmrg_secure.crypto.roster import read_past_roster
from fedmrg_secure.provisioning.authority import Authority, create_authority
from fedmrg_secure.provisioning.enrolment import (
    REQUEST_FORM,
    PartyKeys,
    read_request,
    write_grant,
    write_request,
)
from fedmrg_secure.provisioning.site_kit import install, write_keys
from tests.fuzz.mutate import mutate, mutate_json
from tests.fuzz.target import Target

_JSON = (mutate, mutate_json)
_FEDERATION = "fuzzed"


def targets() -> Iterator[Target]:
    """All of this module."""
    authority, _ = create_authority(_FEDERATION)
    parties = [(COORDINATOR_ROLE, "coordinator"), (SITE_ROLE, "alpha")]
    keys = {party: PartyKeys.generate(role) for role, party in parties}
    for role, party in parties:
        authority = authority.enrol(keys[party].entry(role, party, institution=party))
    authority, roster_file = authority.publish()
    yield from _rosters(roster_file, authority.root_pem)
    yield from _certificates(authority, keys["alpha"])
    yield from _requests(keys["alpha"])
    yield _grant(authority, keys["alpha"], roster_file)


def _rosters(roster_file: bytes, root: bytes) -> Iterator[Target]:
    def read(data: bytes) -> object:
        return read_past_roster(data, root)

    yield Target("roster", st.just(roster_file), read, _JSON)
    roster = json.loads(roster_file)

    def with_certificate(der: bytes) -> object:
        return read(canonical_json({**roster, "certificate": _pem("CERTIFICATE", der)}))

    certificate = x509.load_pem_x509_certificate(roster["certificate"].encode())
    sound = certificate.public_bytes(Encoding.DER)
    yield Target("certificate of a roster", st.just(sound), with_certificate)


def _certificates(authority: Authority, keys: PartyKeys) -> Iterator[Target]:
    chain = authority.issue(SITE_ROLE, "alpha", keys.tls.public_key(), hosts=(), days=1)
    yield Target("certificate", st.just(chain), read_party_certificate)
    leaf = x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER)
    yield Target("certificate in DER", st.just(leaf), read_party_certificate)


def _requests(keys: PartyKeys) -> Iterator[Target]:
    entry = keys.entry(SITE_ROLE, "alpha", institution="alpha")
    request = write_request(keys, _FEDERATION, entry)
    yield Target("enrolment request", st.just(request), read_request, _JSON)

    def read_signed(data: bytes) -> object:
        value = read_json(data)
        return read_request(_signed(keys, value) if isinstance(value, dict) else data)

    yield Target("enrolment request signed by its sender", st.just(request), read_signed, _JSON)
    body = json.loads(request)

    def with_csr(der: bytes) -> object:
        return read_request(_signed(keys, {**body, "csr": _pem("CERTIFICATE REQUEST", der)}))

    csr = x509.load_pem_x509_csr(body["csr"].encode()).public_bytes(Encoding.DER)
    yield Target("proof of a TLS key", st.just(csr), with_csr)


def _signed(keys: PartyKeys, value: dict[str, object]) -> bytes:
    body = {key: part for key, part in value.items() if key != "signature"}
    signature = keys.signing.sign(hash_json(REQUEST_FORM, body))  # type: ignore[arg-type]
    return canonical_json({**body, "signature": signature.hex()})  # type: ignore[dict-item]


def _grant(authority: Authority, keys: PartyKeys, roster_file: bytes) -> Target:
    entry = keys.entry(SITE_ROLE, "alpha", institution="alpha")
    request = read_request(write_request(keys, _FEDERATION, entry))
    sound = write_grant(authority, request, roster_file, days=1)
    home = TemporaryDirectory(prefix="fedmrg-fuzz-")
    write_keys(Path(home.name) / "kit", _FEDERATION, entry, keys, authority.root_pem)
    return Target(
        "grant", st.just(sound), lambda data: install(Path(home.name) / "kit", data), _JSON
    )


def _pem(title: str, der: bytes) -> str:
    """Text that leads to these very bytes, whatever they are."""
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {title}-----\n{body}-----END {title}-----\n"
