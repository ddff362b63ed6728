"""Enrolment: keys are made where they stay, a request leaves, a grant comes back.

A request holds public keys only. Its two signatures prove possession of the TLS key (PKCS 10) and
of the Ed25519 key, which signs over everything else. Nothing proves possession of the X25519 key:
naming somebody else's only makes what is sealed to oneself unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fedmrg_secure.core.canonical import JsonValue, canonical_json, hash_json
from fedmrg_secure.core.foreign_json import read_json
from fedmrg_secure.core.types import check_party_name
from fedmrg_secure.crypto.certificates import MALFORMED, SITE_ROLE
from fedmrg_secure.crypto.roster import RosterEntry
from fedmrg_secure.crypto.signing import verify_signature
from fedmrg_secure.provisioning.authority import Authority
from fedmrg_secure.provisioning.certificate_forms import EnrolmentRefused
from fedmrg_secure.provisioning.files import (
    IdentityFileInvalid,
    hex_field,
    parse_object,
    text_field,
)

REQUEST_FORM: Final = "fedmrg/enrolment-request/v1"
GRANT_FORM: Final = "fedmrg/enrolment-grant/v1"
_LONGEST_REQUEST: Final = 1024 * 1024


@dataclass(frozen=True)
class PartyKeys:
    """The private keys of one party; only the coordinator lacks a sealing key."""

    tls: ec.EllipticCurvePrivateKey
    signing: ed25519.Ed25519PrivateKey
    seal: x25519.X25519PrivateKey | None

    @classmethod
    def generate(cls, role: str) -> PartyKeys:
        """Fresh keys for a party of this role."""
        return cls(
            ec.generate_private_key(ec.SECP256R1()),
            ed25519.Ed25519PrivateKey.generate(),
            x25519.X25519PrivateKey.generate() if role == SITE_ROLE else None,
        )

    def entry(self, role: str, party: str, institution: str) -> RosterEntry:
        """What the roster will say of the owner of these keys."""
        return RosterEntry(
            party=party,
            role=role,
            institution=institution,
            signing_key=self.signing.public_key().public_bytes_raw(),
            seal_key=self.seal.public_key().public_bytes_raw() if self.seal else b"",
        )


@dataclass(frozen=True)
class EnrolmentRequest:
    """A request whose signatures have been verified.

    Args:
        federation: which federation the party wants to join.
        entry: name, role, institution and public keys.
        hosts: further DNS names or addresses of the coordinator.
        tls_key: the P-256 public key of the certificate to be issued.
    """

    federation: str
    entry: RosterEntry
    hosts: tuple[str, ...]
    tls_key: ec.EllipticCurvePublicKey


def write_request(
    keys: PartyKeys, federation: str, entry: RosterEntry, hosts: tuple[str, ...] = ()
) -> bytes:
    """The request file of a party: public keys, and signatures by the private ones."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, entry.party)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name)
    body: dict[str, JsonValue] = {
        "version": REQUEST_FORM,
        "federation": check_party_name(federation),
        "entry": entry.to_json(),
        "hosts": list(hosts),
        "csr": csr.sign(keys.tls, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
    }
    signature = keys.signing.sign(hash_json(REQUEST_FORM, body))
    return canonical_json({**body, "signature": signature.hex()})


def read_request(file: bytes, location: str = "") -> EnrolmentRequest:
    """Parse a request and check both proofs of possession.

    Args:
        file: bytes from anybody.
        location: where they lie, for a message.

    Raises:
        IdentityFileInvalid: not a request, or longer than 1 MiB.
        RosterInvalid, InvalidName, PublicKeyInvalid: it names an impossible party.
        SignatureInvalid, EnrolmentRefused: a proof of possession fails.
    """
    if len(file) > _LONGEST_REQUEST:
        raise IdentityFileInvalid(f"a request of {len(file)} bytes is too long", location=location)
    value = parse_object(file, REQUEST_FORM, location)
    raw_entry, hosts = value.get("entry"), value.get("hosts")
    if not isinstance(raw_entry, dict) or not isinstance(hosts, list):
        raise EnrolmentRefused("the request names no party")
    if not all(isinstance(host, str) for host in hosts):
        raise EnrolmentRefused("the request's hosts are not names")
    entry = RosterEntry.from_json(raw_entry)
    body = {key: part for key, part in value.items() if key != "signature"}
    verify_signature(
        entry.signing_key, hash_json(REQUEST_FORM, body), hex_field(value, "signature")
    )
    try:
        csr = x509.load_pem_x509_csr(text_field(value, "csr").encode())
        valid = csr.is_signature_valid
        tls_key = csr.public_key()
    except (*MALFORMED, InvalidSignature):
        valid, tls_key = False, None
    if not valid or not isinstance(tls_key, ec.EllipticCurvePublicKey):
        raise EnrolmentRefused(f"{entry.party} does not prove that it holds its TLS key")
    if entry.revoked or (hosts and entry.role == SITE_ROLE):
        raise EnrolmentRefused(f"{entry.party} asks for what a {entry.role} cannot have")
    federation = check_party_name(text_field(value, "federation"))
    return EnrolmentRequest(federation, entry, tuple(hosts), tls_key)


def accept_request(authority: Authority, request: EnrolmentRequest) -> Authority:
    """The authority with the requesting party enrolled.

    Raises:
        EnrolmentRefused: another federation's request, or see `Authority.enrol`.
    """
    if request.federation != authority.federation:
        raise EnrolmentRefused(
            f"the request is for {request.federation}, this is {authority.federation}"
        )
    return authority.enrol(request.entry)


def write_grant(
    authority: Authority, request: EnrolmentRequest, roster_file: bytes, *, days: int
) -> bytes:
    """What goes back to the party: its certificate chain and the signed roster.

    A grant needs no signature of its own: both parts lead to the root that the party pinned when
    it made its keys.
    """
    entry = request.entry
    chain = authority.issue(
        entry.role, entry.party, request.tls_key, hosts=request.hosts, days=days
    )
    return canonical_json(
        {
            "version": GRANT_FORM,
            "party": entry.party,
            "chain": chain.decode(),
            "roster": read_json(roster_file),
        }
    )
