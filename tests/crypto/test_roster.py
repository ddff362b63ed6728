"""The roster: who may speak, and every way in which a certificate or a signature may lie."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding

from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.crypto.certificates import CertificateRefused
from fedmrg_secure.crypto.roster import (
    PartyRevoked,
    PartyUnknown,
    Roster,
    RosterEntry,
    RosterInvalid,
    read_past_roster,
    read_roster,
    sign_roster,
)
from fedmrg_secure.crypto.signing import PublicKeyInvalid, SignatureInvalid, SigningKey
from fedmrg_secure.provisioning.authority import Authority, create_authority
from tests.core.hostile_json import HOSTILE, with_value

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEYS = {name: SigningKey.generate(name) for name in ("coordinator", "italy", "spain")}


def entry(party: str, **changes: object) -> RosterEntry:
    role = "coordinator" if party == "coordinator" else "site"
    seal = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    base = RosterEntry(
        party=party,
        role=role,
        institution=f"Hospital of {party}",
        signing_key=KEYS[party].public_key
        if party in KEYS
        else SigningKey.generate(party).public_key,
        seal_key=b"" if role == "coordinator" else seal,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


ENTRIES = (entry("coordinator"), entry("italy"), entry("spain"))


def roster(*entries: RosterEntry, epoch: int = 1) -> Roster:
    return Roster("lungs", epoch, NOW, entries or ENTRIES)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return create_authority("lungs", now=NOW)[0]


def leaf(authority: Authority, role: str, party: str, **options: object) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return authority.issue(role, party, key, now=NOW, **options)  # type: ignore[arg-type]


def test_a_signed_roster_comes_back_whole(authority: Authority) -> None:
    original = roster()
    file = sign_roster(original, authority.roster_key, authority.roster_certificate)
    read = read_roster(file, authority.root_pem, at=NOW)
    assert read == original
    assert read.hash == original.hash
    assert read.sites == ("italy", "spain")
    assert set(read.public_keys) == {"coordinator", "italy", "spain"}


def test_the_hash_covers_every_field() -> None:
    variants = [
        roster(),
        roster(epoch=2),
        replace(roster(), federation="hearts"),
        replace(roster(), issued=NOW + timedelta(seconds=1)),
        roster(*ENTRIES[:2], replace(ENTRIES[2], revoked=True)),
        roster(*ENTRIES[:2], replace(ENTRIES[2], institution="Another")),
        roster(*ENTRIES[:2], replace(ENTRIES[2], seal_key=ENTRIES[1].seal_key[::-1])),
        roster(*ENTRIES[:2], entry("spain", signing_key=SigningKey.generate("x").public_key)),
    ]
    assert len({each.hash for each in variants}) == len(variants)


def change(file: bytes, *path: object, to: object) -> bytes:
    value = json.loads(file)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return canonical_json(value)


@pytest.mark.parametrize(
    "lie",
    [
        lambda f: change(f, "roster", "epoch", to=2),
        lambda f: change(f, "roster", "entries", 2, "revoked", to=True),
        lambda f: change(f, "roster", "entries", 2, "institution", to="Another"),
        lambda f: change(
            f, "roster", "entries", 2, "signing_key", to=SigningKey.generate("x").public_key.hex()
        ),
        lambda f: change(f, "signature", to="00" * 64),
    ],
)
def test_a_changed_roster_is_refused(authority: Authority, lie: object) -> None:
    file = sign_roster(roster(), authority.roster_key, authority.roster_certificate)
    with pytest.raises(SignatureInvalid):
        read_roster(lie(file), authority.root_pem, at=NOW)  # type: ignore[operator]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"version":"fedmrg/roster/v2"}',
        b'{"version":"fedmrg/roster/v1"}',
        b'{"version":"fedmrg/roster/v1","roster":{"federation":"lungs"}}',
        b'{"version":"fedmrg/roster/v1","roster":[]}',
    ],
)
def test_what_is_no_roster_is_refused(authority: Authority, broken: bytes) -> None:
    with pytest.raises(RosterInvalid):
        read_roster(broken, authority.root_pem, at=NOW)


@pytest.mark.parametrize("path", [("roster", "epoch"), ("roster", "entries"), ("certificate",)])
@pytest.mark.parametrize("value", [None, True, "x", -1, [1], {}])
def test_fields_of_wrong_types_are_refused(
    authority: Authority, path: tuple[str, ...], value: object
) -> None:
    file = sign_roster(roster(), authority.roster_key, authority.roster_certificate)
    with pytest.raises(FedmrgError):
        read_roster(change(file, *path, to=value), authority.root_pem, at=NOW)


def test_only_a_roster_key_of_the_same_root_may_sign(authority: Authority) -> None:
    stranger = create_authority("lungs", now=NOW)[0]
    forged = sign_roster(roster(), stranger.roster_key, stranger.roster_certificate)
    with pytest.raises(CertificateRefused):
        read_roster(forged, authority.root_pem, at=NOW)
    borrowed = sign_roster(roster(), stranger.roster_key, authority.roster_certificate)
    with pytest.raises(SignatureInvalid):
        read_roster(borrowed, authority.root_pem, at=NOW)


def test_a_party_certificate_cannot_sign_a_roster(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(leaf(authority, "site", "spain"))
    file = sign_roster(roster(), KEYS["spain"], certificate)
    with pytest.raises(CertificateRefused):
        read_roster(file, authority.root_pem, at=NOW)


def test_a_roster_of_another_federation_under_the_same_root_is_refused(
    authority: Authority,
) -> None:
    other = replace(roster(), federation="hearts")
    file = sign_roster(other, authority.roster_key, authority.roster_certificate)
    with pytest.raises(CertificateRefused):
        read_roster(file, authority.root_pem, at=NOW)


def test_the_roster_key_runs_out_but_old_rosters_stay_readable(authority: Authority) -> None:
    file = sign_roster(roster(), authority.roster_key, authority.roster_certificate)
    with pytest.raises(CertificateRefused):
        read_roster(file, authority.root_pem, at=NOW + timedelta(days=400))
    assert read_past_roster(file, authority.root_pem) == roster()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (ENTRIES[:1], "at least one site"),
        (ENTRIES[1:], "one coordinator"),
        ((ENTRIES[0], ENTRIES[2], ENTRIES[1]), "sorted"),
        ((ENTRIES[0], ENTRIES[1], ENTRIES[1]), "unique"),
        ((*ENTRIES[:2], entry("spain", signing_key=KEYS["italy"].public_key)), "signing key"),
        ((*ENTRIES[:2], entry("spain", seal_key=ENTRIES[1].seal_key)), "sealing key"),
        ((*ENTRIES[:2], entry("spain", institution="hospital  OF italy")), "institution"),
    ],
)
def test_a_roster_that_contradicts_itself_is_refused(
    entries: tuple[RosterEntry, ...], message: str
) -> None:
    with pytest.raises(RosterInvalid, match=message):
        Roster("lungs", 1, NOW, entries)


def test_an_institution_may_come_back_after_a_revocation() -> None:
    revoked = replace(ENTRIES[1], revoked=True)
    again = entry("spain", institution=ENTRIES[1].institution)
    assert roster(ENTRIES[0], revoked, again).sites == ("spain",)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"party": "St. Anna"}, InvalidName),
        ({"role": "observer"}, RosterInvalid),
        ({"role": "coordinator"}, RosterInvalid),
        ({"party": "coordinator"}, RosterInvalid),
        ({"institution": ""}, RosterInvalid),
        ({"institution": "two\nlines"}, RosterInvalid),
        ({"signing_key": bytes(32)}, PublicKeyInvalid),
        ({"seal_key": b""}, RosterInvalid),
    ],
)
def test_an_impossible_entry_is_refused(
    changes: dict[str, object], error: type[FedmrgError]
) -> None:
    with pytest.raises(error):
        replace(ENTRIES[2], **changes)  # type: ignore[arg-type]


def test_nothing_can_be_sealed_to_the_coordinator() -> None:
    with pytest.raises(RosterInvalid):
        entry("coordinator", seal_key=bytes(range(32)))


def test_signatures_are_checked_against_the_right_party() -> None:
    book = roster(*ENTRIES[:2], replace(ENTRIES[2], revoked=True))
    signature = KEYS["italy"].sign(b"message")
    book.verify("italy", b"message", signature)
    with pytest.raises(SignatureInvalid):
        book.verify("coordinator", b"message", signature)
    with pytest.raises(SignatureInvalid):
        book.verify("italy", b"another message", signature)
    with pytest.raises(PartyUnknown):
        book.verify("france", b"message", signature)
    with pytest.raises(PartyRevoked):
        book.verify("spain", b"message", KEYS["spain"].sign(b"message"))


def test_certificates_name_their_party(authority: Authority) -> None:
    book = roster()
    assert book.identify_certificate(leaf(authority, "site", "spain"), NOW) == "spain"
    server = leaf(authority, "coordinator", "coordinator", hosts=("127.0.0.1", "agg.example"))
    assert book.identify_certificate(server, NOW) == "coordinator"


def test_time_is_checked_again_in_every_call(authority: Authority) -> None:
    book, pem = roster(), leaf(authority, "site", "spain", days=1)
    assert book.identify_certificate(pem, NOW) == "spain"
    with pytest.raises(CertificateRefused, match="expired"):
        book.identify_certificate(pem, NOW + timedelta(days=1, seconds=1))
    with pytest.raises(CertificateRefused, match="not valid before"):
        book.identify_certificate(pem, NOW - timedelta(hours=1))
    assert book.identify_certificate(pem, NOW) == "spain"


def test_a_revoked_or_unlisted_party_is_not_identified(authority: Authority) -> None:
    pem = leaf(authority, "site", "spain")
    assert roster().identify_certificate(pem, NOW) == "spain"
    with pytest.raises(PartyRevoked):
        roster(*ENTRIES[:2], replace(ENTRIES[2], revoked=True)).identify_certificate(pem, NOW)
    with pytest.raises(PartyUnknown):
        roster().identify_certificate(leaf(authority, "site", "france"), NOW)


def test_a_certificate_of_another_federation_is_not_identified() -> None:
    foreign = create_authority("hearts", now=NOW)[0]
    with pytest.raises(CertificateRefused, match="hearts"):
        roster().identify_certificate(leaf(foreign, "site", "spain"), NOW)


def test_the_roster_key_is_an_ed25519_key_that_no_party_has(authority: Authority) -> None:
    key = authority.roster_certificate.public_key()
    assert isinstance(key, ed25519.Ed25519PublicKey)
    pem = authority.roster_certificate.public_bytes(Encoding.PEM)
    with pytest.raises(CertificateRefused):
        roster().identify_certificate(pem, NOW)


@pytest.mark.parametrize("key", ["roster", "certificate", "signature", "version", "extra"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_that_nobody_signs_is_no_roster(authority: Authority, key: str, text: str) -> None:
    value = json.loads(sign_roster(roster(), authority.roster_key, authority.roster_certificate))
    for file in (text.encode(), with_value(value, key, text)):
        with pytest.raises(RosterInvalid):
            read_past_roster(file, authority.root_pem)


@pytest.mark.parametrize("key", ["epoch", "issued", "federation", "entries"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_field_of_a_roster_is_such_json(authority: Authority, key: str, text: str) -> None:
    value = json.loads(sign_roster(roster(), authority.roster_key, authority.roster_certificate))
    body = with_value(value["roster"], key, text).decode()
    with pytest.raises(RosterInvalid):
        read_past_roster(with_value(value, "roster", body), authority.root_pem)


def test_a_roster_of_thousands_is_checked_in_time() -> None:
    """Before its signature is: comparing each with each would take minutes."""
    some = [
        replace(
            ENTRIES[1],
            party=f"site-{number:05}",
            institution=f"House {number}",
            signing_key=number.to_bytes(32, "little"),
            seal_key=number.to_bytes(32, "little"),
        )
        for number in range(2, 15_000)
    ]
    started = time.process_time()
    roster(ENTRIES[0], *some)
    assert time.process_time() - started < 2
