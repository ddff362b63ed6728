"""``fedmrg provision``: identities of a real federation, one command a step.

Private keys never travel: a party makes its own, sends a request with the public halves, and gets
a grant back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output

AuthorityFolder = Annotated[
    Path, typer.Argument(help="The authority's folder.", show_default=False)
]
KitFolder = Annotated[Path, typer.Argument(help="The party's kit folder.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Make and hand out the identities of a federation.", no_args_is_help=True
    )
    for command in (init, request, issue, install, roster):
        group.command(command.__name__)(command)
    app.add_typer(group, name="provision")


def init(
    authority: AuthorityFolder,
    federation: Annotated[str, typer.Option(help="The federation's name: a-z, 0-9, '-'.")],
    as_json: JsonOption = False,
) -> None:
    """Make a federation's authority: a root, an issuing authority and a roster key.

    Give authority.pem to every party and compare its fingerprint by telephone. Then move the
    folder root/ off this machine: nothing but renewing the issuing authority needs it.

    Example:

      fedmrg provision init authority --federation lungs-eu
    """
    from fedmrg_secure.provisioning.authority_folder import (
        ROOT_CERTIFICATE,
        ROOT_FOLDER,
        init_authority,
    )

    output = Output(as_json=as_json)
    made = init_authority(authority, federation)
    output.say(f"Authority of {federation} in {authority}.")
    output.say(f"Give to every party: {authority / ROOT_CERTIFICATE}")
    output.say(f"  SHA-256 fingerprint {made.fingerprint}")
    output.say(f"Move off this machine now: {authority / ROOT_FOLDER}")
    output.result(
        {
            "federation": federation,
            "authority": str(authority / ROOT_CERTIFICATE),
            "authority_sha256": made.fingerprint,
        }
    )


def request(
    kit: KitFolder,
    federation: Annotated[str, typer.Option(help="The federation to join.")],
    authority: Annotated[
        Path, typer.Option(help="The federation's authority.pem; this kit will trust it alone.")
    ],
    institution: Annotated[str, typer.Option(help="The legal body behind this party.")],
    name: Annotated[
        str | None, typer.Option(help="The site's name; leave out for the coordinator.")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(help="A DNS name or address of the coordinator. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the request goes.", show_default="KIT/request.json")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make this party's keys, here, and a request that holds only their public halves.

    Examples:

      fedmrg provision request kit --federation lungs-eu --name st-anna --institution "St. Anna"
      --authority authority.pem

      fedmrg provision request kit --federation lungs-eu --institution "Data Trust"
      --host aggregator.example --authority authority.pem
    """
    from fedmrg_secure.crypto.certificates import fingerprint, load_certificate
    from fedmrg_secure.provisioning.files import read_bounded
    from fedmrg_secure.provisioning.site_kit import begin_kit

    output = Output(as_json=as_json)
    authority_pem = read_bounded(authority)
    pinned = fingerprint(load_certificate(authority_pem))
    content = begin_kit(
        kit,
        federation=federation,
        party=name,
        institution=institution,
        authority_pem=authority_pem,
        hosts=tuple(host or ()),
    )
    path = out or kit / "request.json"
    path.write_bytes(content)
    output.say(f"Keys made in {kit}; they never leave it.")
    output.say(f"Trusting only the authority with SHA-256 fingerprint {pinned}")
    output.say(f"Send to the authority: {path}")
    output.result({"kit": str(kit), "request": str(path), "authority_sha256": pinned})


def issue(
    authority: AuthorityFolder,
    requests: Annotated[list[Path], typer.Argument(help="Request files.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the grants.")],
    days: Annotated[int, typer.Option(min=1, max=365, help="Validity of the certificates.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Enrol parties: sign their certificates and the next epoch's roster.

    Check by telephone that each request is whom it says. Parties enrolled earlier get the new
    roster with `fedmrg provision install KIT roster.json`. A party whose certificate runs out
    sends the same request again.

    Example:

      fedmrg provision issue authority coordinator.json st-anna.json charite.json --out grants
    """
    from fedmrg_secure.provisioning.authority_folder import publish_roster, read_authority
    from fedmrg_secure.provisioning.enrolment import accept_request, read_request, write_grant
    from fedmrg_secure.provisioning.files import make_private_folder, read_bounded, write_private

    output = Output(as_json=as_json)
    office = read_authority(authority)
    accepted = [read_request(read_bounded(path), str(path)) for path in requests]
    enrolled = office
    for each in accepted:
        enrolled = accept_request(enrolled, each)
    enrolled, roster_file = publish_roster(authority, enrolled)
    make_private_folder(out)
    grants: dict[str, Any] = {}
    for each in accepted:
        path = out / f"{each.entry.party}.grant.json"
        write_private(path, write_grant(enrolled, each, roster_file, days=days))
        grants[each.entry.party] = str(path)
        output.say(f"{each.entry.party} ({each.entry.institution}): {path}")
    output.say(f"The roster is now of epoch {enrolled.epoch}.")
    output.result({"grants": grants, "epoch": enrolled.epoch})


def install(
    kit: KitFolder,
    file: Annotated[
        Path, typer.Argument(help="The grant, or a newer roster.json.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Put a grant or a newer roster into a kit, after checking it against keys and authority.

    Example:

      fedmrg provision install kit st-anna.grant.json
    """
    from fedmrg_secure.provisioning.files import read_bounded
    from fedmrg_secure.provisioning.site_kit import install as install_file

    output = Output(as_json=as_json)
    installed = install_file(kit, read_bounded(file))
    identity, known = installed.identity, installed.roster
    output.say(f"{identity.name} is ready in {identity.federation}: roster epoch {known.epoch},")
    output.say(f"  sites {', '.join(known.sites)}")
    output.result(
        {
            "federation": identity.federation,
            "party": identity.name,
            "epoch": known.epoch,
            "roster_hash": known.hash,
            "sites": list(known.sites),
        }
    )


def roster(
    authority: AuthorityFolder,
    revoke: Annotated[
        list[str] | None, typer.Option(help="Revoke a party's keys, for good. Repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is enrolled; with --revoke, sign the next epoch's roster without them.

    Example:

      fedmrg provision roster authority --revoke st-anna
    """
    from fedmrg_secure.provisioning.authority_folder import (
        ROSTER_FILE,
        publish_roster,
        read_authority,
    )

    output = Output(as_json=as_json)
    office = read_authority(authority)
    for party in revoke or ():
        office = office.revoke(party)
    if revoke:
        office, _ = publish_roster(authority, office)
        output.say(f"Give to every party: {authority / ROSTER_FILE}")
    output.table(
        f"Roster of {office.federation}, epoch {office.epoch}",
        ["party", "role", "institution", "revoked"],
        [
            [entry.party, entry.role, entry.institution, "revoked" if entry.revoked else ""]
            for entry in office.entries
        ],
    )
    output.result(
        {
            "federation": office.federation,
            "epoch": office.epoch,
            "entries": [entry.to_json() for entry in office.entries],
        }
    )
