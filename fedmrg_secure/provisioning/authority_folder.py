"""Where an authority lives between two commands.

authority.pem        the root certificate, public
root/root.key        the root's private key: move this folder off the machine after `init`
issuing/             keys and certificates that issue leaves and sign rosters
roster.json          the newest signed roster, public; absent before the first enrolment
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from fedmrg_secure.core.types import COORDINATOR
from fedmrg_secure.crypto.certificates import load_certificate, parse_federation
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.roster import read_roster
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.provisioning.authority import ROSTER_SIGNER, Authority, create_authority
from fedmrg_secure.provisioning.certificate_forms import Issuer, pem
from fedmrg_secure.provisioning.files import (
    IdentityFileInvalid,
    IdentityFolderInUse,
    make_private_folder,
    read_bounded,
    read_key,
    write_key,
    write_private,
)

ROOT_CERTIFICATE: Final = "authority.pem"
ROSTER_FILE: Final = "roster.json"
ROOT_FOLDER: Final = "root"
_ROOT_KEY: Final = "root.key"
_ISSUING_FOLDER: Final = "issuing"
_ISSUING_KEY: Final = "issuing.key"
_ISSUING_CERTIFICATE: Final = "issuing.pem"
_ROSTER_KEY: Final = "roster.key"
_ROSTER_CERTIFICATE: Final = "roster.pem"


def init_authority(folder: Path, federation: str) -> Authority:
    """Make a new authority in `folder`.

    Raises:
        IdentityFolderInUse: there is an authority already.
        InvalidName: `federation` is not an RFC 1123 label.
    """
    if (folder / ROOT_CERTIFICATE).exists():
        raise IdentityFolderInUse(
            f"{folder} already holds an authority", hint="choose another folder"
        )
    authority, root_key = create_authority(federation)
    issuing = folder / _ISSUING_FOLDER
    for each in (folder, folder / ROOT_FOLDER, issuing):
        make_private_folder(each)
    write_key(folder / ROOT_FOLDER / _ROOT_KEY, root_key)
    write_key(issuing / _ISSUING_KEY, authority.issuing.key)
    write_private(issuing / _ISSUING_CERTIFICATE, pem(authority.issuing.certificate))
    seed = authority.roster_key.seed().reveal()
    write_key(issuing / _ROSTER_KEY, ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    write_private(issuing / _ROSTER_CERTIFICATE, pem(authority.roster_certificate))
    write_private(folder / ROOT_CERTIFICATE, authority.root_pem)
    return authority


def read_authority(folder: Path) -> Authority:
    """The authority in `folder`; the root's private key is not needed.

    Raises:
        IdentityFileMissing, IdentityFileExposed, IdentityFileInvalid: a file is absent, readable
            by others, or of the wrong kind.
        RosterInvalid, CertificateRefused, SignatureInvalid: its own roster does not verify.
    """
    root_pem = read_bounded(folder / ROOT_CERTIFICATE)
    issuing = folder / _ISSUING_FOLDER
    issuing_key = read_key(issuing / _ISSUING_KEY)
    roster_key = read_key(issuing / _ROSTER_KEY)
    if not isinstance(issuing_key, ec.EllipticCurvePrivateKey):
        raise IdentityFileInvalid("the issuing key is not an elliptic-curve key")
    if not isinstance(roster_key, ed25519.Ed25519PrivateKey):
        raise IdentityFileInvalid("the roster key is not an Ed25519 key")
    roster_certificate = load_certificate(read_bounded(issuing / _ROSTER_CERTIFICATE))
    authority = Authority(
        federation=parse_federation(roster_certificate),
        root=load_certificate(root_pem),
        issuing=Issuer(load_certificate(read_bounded(issuing / _ISSUING_CERTIFICATE)), issuing_key),
        roster_key=SigningKey(ROSTER_SIGNER, SecretBytes(roster_key.private_bytes_raw())),
        roster_certificate=roster_certificate,
    )
    roster_file = folder / ROSTER_FILE
    if not roster_file.exists():
        return authority
    roster = read_roster(read_bounded(roster_file), root_pem)
    return replace(authority, entries=roster.entries, epoch=roster.epoch)


def publish_roster(folder: Path, authority: Authority) -> tuple[Authority, bytes]:
    """Sign the next epoch's roster and store it as the authority's newest.

    Returns:
        The authority with its new epoch, and the roster file.

    Raises:
        RosterInvalid: the entries break a rule of `crypto.roster.Roster`.
    """
    if COORDINATOR not in {entry.party for entry in authority.entries}:
        raise IdentityFileInvalid(
            "a roster needs the coordinator and at least one site",
            hint="issue the coordinator's request together with the first site's",
        )
    authority, file = authority.publish()
    write_private(folder / ROSTER_FILE, file)
    return authority, file
