"""Throw-away identities for a federation on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fedmrg_secure.core.types import COORDINATOR
from fedmrg_secure.crypto.certificates import COORDINATOR_ROLE, SITE_ROLE
from fedmrg_secure.provisioning.authority import create_authority
from fedmrg_secure.provisioning.enrolment import PartyKeys
from fedmrg_secure.provisioning.files import write_private
from fedmrg_secure.provisioning.site_kit import CHAIN_FILE, ROSTER_FILE, write_keys

THROWAWAY_DAYS: Final = 30
"""Long enough to resume an interrupted run."""


def provision_throwaway(folder: Path, federation: str, sites: Sequence[str], host: str) -> None:
    """Make an authority, the coordinator's kit and the sites' kits, and forget the authority.

    The authority's private keys live in this call only and are never written, so nobody can join
    the federation afterwards.

    Args:
        folder: gets ``coordinator/kit`` and ``sites/NAME/kit``.
        federation: an RFC 1123 label.
        sites: at least one party name; each stands for an institution of its own.
        host: the coordinator's address, entered in its certificate.

    Raises:
        IdentityFolderInUse: one of the kits exists already.
        InvalidName: a name is not an RFC 1123 label.
        RosterInvalid: no site, or a name twice.
    """
    authority, _ = create_authority(federation)
    members = []
    for role, party in [(COORDINATOR_ROLE, COORDINATOR), *((SITE_ROLE, site) for site in sites)]:
        keys = PartyKeys.generate(role)
        entry = keys.entry(role, party, institution=party)
        authority = authority.enrol(entry)
        members.append((entry, keys))
    authority, roster_file = authority.publish()
    for entry, keys in members:
        is_site = entry.role == SITE_ROLE
        kit = folder / "sites" / entry.party / "kit" if is_site else folder / COORDINATOR / "kit"
        chain = authority.issue(
            entry.role,
            entry.party,
            keys.tls.public_key(),
            hosts=() if is_site else (host,),
            days=THROWAWAY_DAYS,
        )
        write_keys(kit, federation, entry, keys, authority.root_pem)
        write_private(kit / CHAIN_FILE, chain)
        write_private(kit / ROSTER_FILE, roster_file)
