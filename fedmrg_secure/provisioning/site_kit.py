"""A party's kit: one private folder with everything that makes a process that party.

    kit.json         federation, name, role
    authority.pem    the federation's root, pinned when the keys were made
    chain.pem        the party's TLS leaf and the issuing certificate
    tls.key          ECDSA P-256        made here, never leaves
    signing.key      Ed25519            made here, never leaves
    seal.key         X25519             made here, never leaves; absent at the coordinator
    roster.json      the newest signed roster

Anchoring: `authority.pem` is the only thing believed unchecked. TLS chains end in it, and the
roster is signed by a key whose certificate it issued.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.core.types import COORDINATOR
from fedmrg_secure.crypto.certificates import (
    COORDINATOR_ROLE,
    MALFORMED,
    SITE_ROLE,
    CertificateRefused,
    coordinator_dns_name,
    load_certificate,
    public_key,
    read_party_certificate,
    utc_now,
)
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.roster import Roster, RosterEntry, read_roster
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.provisioning.enrolment import GRANT_FORM, PartyKeys, write_request
from fedmrg_secure.provisioning.files import (
    IdentityFileInvalid,
    IdentityFolderInUse,
    key_pem,
    make_private_folder,
    parse_object,
    read_bounded,
    read_key,
    read_object,
    text_field,
    write_key,
    write_private,
)

KIT_FORM: Final = "fedmrg/kit/v1"
KIT_FILE: Final = "kit.json"
AUTHORITY_FILE: Final = "authority.pem"
CHAIN_FILE: Final = "chain.pem"
TLS_KEY_FILE: Final = "tls.key"
SIGNING_KEY_FILE: Final = "signing.key"
SEAL_KEY_FILE: Final = "seal.key"
ROSTER_FILE: Final = "roster.json"


class KitMismatch(InputError):
    """The files of a kit do not belong together."""

    code: ClassVar[str] = "FMRG-6621"


class KitExpired(InputError):
    """A certificate of a kit is out of its time."""

    code: ClassVar[str] = "FMRG-6622"


class KitForeign(InputError):
    """A certificate or roster does not come from the authority that the kit pins."""

    code: ClassVar[str] = "FMRG-6623"


@dataclass(frozen=True)
class Kit:
    """A party's checked keys and certificates, and the roster it goes by."""

    identity: PartyIdentity
    roster: Roster = field(repr=False)


def write_keys(
    folder: Path, federation: str, entry: RosterEntry, keys: PartyKeys, authority_pem: bytes
) -> None:
    """Begin a kit: the party's private keys and the root that it trusts.

    Raises:
        IdentityFolderInUse: the folder already holds a kit.
    """
    if (folder / KIT_FILE).exists():
        raise IdentityFolderInUse(f"{folder} already holds a kit", hint="choose another folder")
    make_private_folder(folder)
    write_key(folder / TLS_KEY_FILE, keys.tls)
    write_key(folder / SIGNING_KEY_FILE, keys.signing)
    if keys.seal is not None:
        write_key(folder / SEAL_KEY_FILE, keys.seal)
    write_private(folder / AUTHORITY_FILE, authority_pem)
    content = {
        "version": KIT_FORM,
        "federation": federation,
        "party": entry.party,
        "role": entry.role,
    }
    write_private(folder / KIT_FILE, canonical_json(content))


def begin_kit(
    folder: Path,
    *,
    federation: str,
    party: str | None,
    institution: str,
    authority_pem: bytes,
    hosts: tuple[str, ...] = (),
) -> bytes:
    """Make a party's keys in `folder` and return the request for the authority.

    Args:
        federation: which federation to join.
        party: the site's name; None for the coordinator.
        institution: the legal body behind the party.
        authority_pem: the federation's root certificate, which the kit will trust alone.
        hosts: the coordinator's DNS names or addresses; empty for a site.

    Raises:
        IdentityFolderInUse: the folder already holds a kit.
        InvalidName, RosterInvalid: a name is not allowed.
        KitMismatch: hosts for a site, or none for the coordinator.
    """
    role = COORDINATOR_ROLE if party is None else SITE_ROLE
    if (role == SITE_ROLE) == bool(hosts):
        raise KitMismatch("the coordinator needs a host, and a site has none")
    keys = PartyKeys.generate(role)
    entry = keys.entry(role, party or COORDINATOR, institution)
    request = write_request(keys, federation, entry, hosts)
    write_keys(folder, federation, entry, keys, authority_pem)
    return request


def install(folder: Path, file: bytes) -> Kit:
    """Put a grant, or a newer roster alone, into a kit that has its keys, and check the whole.

    Args:
        folder: where `write_keys` put the keys.
        file: the authority's grant, or a roster file.

    Raises:
        KitMismatch: it is for another party or other keys, or the roster is older than the one
            installed.
        Everything that `load_kit` raises; the kit is then as it was.
    """
    kit_file = read_object(folder / KIT_FILE, KIT_FORM)
    chain: bytes | None = None
    roster_file = file
    if b'"' + GRANT_FORM.encode() + b'"' in file:
        grant = parse_object(file, GRANT_FORM)
        if text_field(grant, "party") != kit_file.get("party"):
            raise KitMismatch(
                f"the grant is for {text_field(grant, 'party')!r}, "
                f"this kit is {kit_file.get('party')}'s"
            )
        chain = text_field(grant, "chain").encode()
        roster_file = canonical_json(grant.get("roster"))
    chain = chain or read_bounded(folder / CHAIN_FILE)
    kit = _check_kit(folder, chain, roster_file, utc_now())
    installed = folder / ROSTER_FILE
    if installed.exists():
        old = _roster(read_bounded(installed), kit.identity.authority_pem, kit.roster.issued)
        if (kit.roster.epoch, kit.roster.hash) < (old.epoch, old.hash) or (
            kit.roster.epoch == old.epoch and kit.roster.hash != old.hash
        ):
            raise KitMismatch(
                f"the roster has epoch {kit.roster.epoch}, the installed one {old.epoch}"
            )
    write_private(folder / CHAIN_FILE, chain)
    write_private(installed, roster_file)
    return kit


def load_kit(folder: Path, now: datetime | None = None) -> Kit:
    """Read and check a kit, before anything is sent anywhere.

    Args:
        folder: the kit.
        now: aware; the current time unless given.

    Raises:
        IdentityFileMissing: a file is not there.
        IdentityFileExposed: a private key's file lets others in.
        IdentityFileInvalid: a file is not what it should be.
        KitExpired: a certificate is out of its time.
        KitForeign: chain or roster do not lead to the pinned root.
        KitMismatch: certificate, keys, name and roster entry are not one party's.
        PartyRevoked: the roster revokes this party.
    """
    return _check_kit(
        folder,
        read_bounded(folder / CHAIN_FILE),
        read_bounded(folder / ROSTER_FILE),
        now or utc_now(),
    )


def _check_kit(folder: Path, chain: bytes, roster_file: bytes, now: datetime) -> Kit:
    about = read_object(folder / KIT_FILE, KIT_FORM)
    federation, party, role = (text_field(about, key) for key in ("federation", "party", "role"))
    if role not in (SITE_ROLE, COORDINATOR_ROLE):
        raise IdentityFileInvalid(f"{KIT_FILE} names the unknown role {role!r}")
    authority_pem = read_bounded(folder / AUTHORITY_FILE)
    keys = _read_keys(folder, role)
    _check_chain(chain, authority_pem, federation, party, role, keys.tls, now)
    roster = _roster(roster_file, authority_pem, now)
    if roster.federation != federation:
        raise KitForeign(f"the roster is of {roster.federation}, the kit of {federation}")
    signing_key = SigningKey(party, SecretBytes(keys.signing.private_bytes_raw()))
    entry = roster.entry(party)
    if entry != keys.entry(role, party, entry.institution):
        raise KitMismatch(f"the roster lists other keys for {party} than this kit holds")
    identity = PartyIdentity(
        federation=federation,
        name=party,
        role=role,
        tls_chain_pem=chain,
        tls_key_pem=SecretBytes(key_pem(keys.tls)),
        authority_pem=authority_pem,
        signing_key=signing_key,
        hpke_private_key=SecretBytes(keys.seal.private_bytes_raw()) if keys.seal else None,
    )
    return Kit(identity, roster)


def _read_keys(folder: Path, role: str) -> PartyKeys:
    tls = read_key(folder / TLS_KEY_FILE)
    signing = read_key(folder / SIGNING_KEY_FILE)
    seal = read_key(folder / SEAL_KEY_FILE) if role == SITE_ROLE else None
    if not isinstance(tls, ec.EllipticCurvePrivateKey):
        raise IdentityFileInvalid(f"{TLS_KEY_FILE} is not an elliptic-curve key")
    if not isinstance(signing, ed25519.Ed25519PrivateKey):
        raise IdentityFileInvalid(f"{SIGNING_KEY_FILE} is not an Ed25519 key")
    if seal is not None and not isinstance(seal, x25519.X25519PrivateKey):
        raise IdentityFileInvalid(f"{SEAL_KEY_FILE} is not an X25519 key")
    return PartyKeys(tls, signing, seal)


def _check_chain(
    chain: bytes,
    authority_pem: bytes,
    federation: str,
    party: str,
    role: str,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> None:
    try:
        leaf, *issuers = x509.load_pem_x509_certificates(chain)
        root = load_certificate(authority_pem)
        facts = read_party_certificate(chain)
        certified_key = public_key(leaf)
    except (*MALFORMED, CertificateRefused) as error:
        raise IdentityFileInvalid(f"{CHAIN_FILE} or {AUTHORITY_FILE}: {error}") from None
    if (facts.federation, facts.party, facts.role) != (federation, party, role):
        raise KitMismatch(
            f"the certificate is {facts.party}'s of {facts.federation}, "
            f"the kit {party}'s of {federation}"
        )
    if certified_key != key.public_key():
        raise KitMismatch(f"the certificate of {party} is for another TLS key")
    try:
        facts.check_time(now)
    except CertificateRefused as error:
        raise KitExpired(error.message, hint=error.hint) from None
    policy = PolicyBuilder().store(Store([root])).time(now.replace(tzinfo=None))
    try:
        if role == SITE_ROLE:
            policy.build_client_verifier().verify(leaf, issuers)
        else:
            name = x509.DNSName(coordinator_dns_name(federation))
            policy.build_server_verifier(name).verify(leaf, issuers)
    except (*MALFORMED, VerificationError):
        raise KitForeign(
            f"the certificate of {party} does not lead to the authority that the kit pins",
            hint="was it issued by another federation's authority?",
        ) from None


def _roster(file: bytes, authority_pem: bytes, now: datetime) -> Roster:
    try:
        return read_roster(file, authority_pem, at=now)
    except FedmrgError as error:
        raise KitForeign(f"the kit's roster cannot be trusted: {error.message}") from None
