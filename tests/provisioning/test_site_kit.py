"""Kits: what `load_kit` accepts, and one clear error for each thing that can be wrong."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.certificates import utc_now
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.roster import PartyRevoked, Roster, sign_roster
from fedmrg_secure.crypto.seal_key import open_sealed, seal
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.provisioning.authority import Authority, create_authority
from fedmrg_secure.provisioning.authority_folder import (
    init_authority,
    publish_roster,
    read_authority,
)
from fedmrg_secure.provisioning.certificate_forms import Issuer, roster_certificate
from fedmrg_secure.provisioning.enrolment import (
    GRANT_FORM,
    PartyKeys,
    accept_request,
    read_request,
    write_grant,
)
from fedmrg_secure.provisioning.files import (
    IdentityFileExposed,
    IdentityFileInvalid,
    IdentityFileMissing,
    IdentityFolderInUse,
)
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import (
    KitExpired,
    KitForeign,
    KitMismatch,
    begin_kit,
    install,
    load_kit,
    write_keys,
)
from tests.core.hostile_json import HOSTILE, with_value


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lungs")
    provision_throwaway(folder, "lungs", ["italy", "spain"], "127.0.0.1")
    return folder


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    provision_throwaway(folder, "lungs", ["italy", "spain"], "127.0.0.1")
    return folder


@pytest.fixture
def kit(federation: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(federation / "sites" / "spain" / "kit", tmp_path / "kit"))


def test_throwaway_kits_load(federation: Path) -> None:
    for folder, name, role in (
        (federation / "coordinator", "coordinator", "coordinator"),
        (federation / "sites" / "italy", "italy", "site"),
        (federation / "sites" / "spain", "spain", "site"),
    ):
        loaded = load_kit(folder / "kit")
        identity, roster = loaded.identity, loaded.roster
        assert (identity.federation, identity.name, identity.role) == ("lungs", name, role)
        assert roster.sites == ("italy", "spain")
        assert roster.identify_certificate(identity.tls_chain_pem) == name
        roster.verify(name, b"message", identity.signing_key.sign(b"message"))
        if role == "site":
            sealed = seal(roster.entry(name).seal_key, b"key", b"info")
            assert open_sealed(identity.seal_key, sealed, b"info").reveal() == b"key"


def test_no_private_key_of_the_authority_remains(federation: Path) -> None:
    keys = sorted(path.relative_to(federation).as_posix() for path in federation.rglob("*.key"))
    assert keys == [
        "coordinator/kit/signing.key",
        "coordinator/kit/tls.key",
        "sites/italy/kit/seal.key",
        "sites/italy/kit/signing.key",
        "sites/italy/kit/tls.key",
        "sites/spain/kit/seal.key",
        "sites/spain/kit/signing.key",
        "sites/spain/kit/tls.key",
    ]
    holders = [p for p in federation.rglob("*") if p.is_file() and b"PRIVATE" in p.read_bytes()]
    assert len(holders) == len(keys)


def test_kits_are_private(federation: Path) -> None:
    for kit in federation.rglob("kit"):
        assert stat.S_IMODE(kit.stat().st_mode) == 0o700
        for path in kit.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_loaded_kit_shows_no_secret(kit: Path) -> None:
    shown = repr(load_kit(kit))
    assert "PRIVATE" not in shown
    assert "lungs" in shown


@pytest.mark.parametrize(
    "name",
    [
        "kit.json",
        "authority.pem",
        "chain.pem",
        "tls.key",
        "signing.key",
        "seal.key",
        "roster.json",
    ],
)
def test_every_file_is_needed_and_named(kit: Path, name: str) -> None:
    (kit / name).unlink()
    with pytest.raises(IdentityFileMissing, match=name):
        load_kit(kit)


@pytest.mark.parametrize("name", ["tls.key", "signing.key", "seal.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_keys_that_others_may_read_are_refused(kit: Path, name: str, mode: int) -> None:
    (kit / name).chmod(mode)
    with pytest.raises(IdentityFileExposed, match=name):
        load_kit(kit)


@pytest.mark.parametrize(
    "name",
    ["kit.json", "authority.pem", "chain.pem", "tls.key", "signing.key", "seal.key"],
)
@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\n", b"\xff" * 40])
def test_a_spoiled_file_is_named(kit: Path, name: str, content: bytes) -> None:
    (kit / name).write_bytes(content)
    with pytest.raises(IdentityFileInvalid) as caught:
        load_kit(kit)
    named = caught.value.message + caught.value.location
    assert name in named or "chain.pem" in named


@pytest.mark.parametrize("content", [b"", b"{}", b"junk"])
def test_a_spoiled_roster_is_refused(kit: Path, content: bytes) -> None:
    (kit / "roster.json").write_bytes(content)
    with pytest.raises(KitForeign, match="roster"):
        load_kit(kit)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("tls.key", "signing.key"), ("signing.key", "tls.key")]
)
def test_keys_of_the_wrong_kind_are_refused(kit: Path, ours: str, theirs: str) -> None:
    (kit / ours).write_bytes((kit / theirs).read_bytes())
    with pytest.raises(IdentityFileInvalid, match=ours):
        load_kit(kit)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("tls.key", "another TLS key"),
        ("signing.key", "other keys"),
        ("seal.key", "other keys"),
        ("chain.pem", "italy"),
    ],
)
def test_files_of_another_party_are_refused(
    kit: Path, federation: Path, name: str, match: str
) -> None:
    shutil.copy(federation / "sites" / "italy" / "kit" / name, kit / name)
    with pytest.raises(KitMismatch, match=match):
        load_kit(kit)


@pytest.mark.parametrize("names", [("authority.pem",), ("roster.json",), ("chain.pem", "tls.key")])
def test_files_of_another_authority_are_refused(
    kit: Path, stranger: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        shutil.copy(stranger / "sites" / "spain" / "kit" / name, kit / name)
    with pytest.raises(KitForeign):
        load_kit(kit)


def test_a_coordinator_of_another_authority_is_refused(
    federation: Path, stranger: Path, tmp_path: Path
) -> None:
    kit = Path(shutil.copytree(federation / "coordinator" / "kit", tmp_path / "kit"))
    load_kit(kit)
    for name in ("chain.pem", "tls.key"):
        shutil.copy(stranger / "coordinator" / "kit" / name, kit / name)
    with pytest.raises(KitForeign, match="does not lead"):
        load_kit(kit)


def test_a_root_that_serves_two_federations_does_not_mix_them(tmp_path: Path) -> None:
    authority, root_key = create_authority("lungs")
    keys = PartyKeys.generate("site")
    entry = keys.entry("site", "spain", "Hospital")
    server = PartyKeys.generate("coordinator").entry("coordinator", "coordinator", "Trust")
    write_keys(tmp_path, "lungs", entry, keys, authority.root_pem)
    chain = authority.issue("site", "spain", keys.tls.public_key())
    (tmp_path / "chain.pem").write_bytes(chain)
    roster_key = ed25519.Ed25519PrivateKey.generate()
    certificate = roster_certificate(
        "hearts", Issuer(authority.root, root_key), roster_key.public_key(), utc_now(), 9
    )
    roster = Roster("hearts", 1, utc_now().replace(microsecond=0), (server, entry))
    signer = SigningKey("roster", SecretBytes(roster_key.private_bytes_raw()))
    (tmp_path / "roster.json").write_bytes(sign_roster(roster, signer, certificate))
    with pytest.raises(KitForeign, match="hearts"):
        load_kit(tmp_path)


def test_a_kit_of_another_federation_is_refused(kit: Path) -> None:
    about = json.loads((kit / "kit.json").read_text())
    (kit / "kit.json").write_text(json.dumps({**about, "federation": "hearts"}))
    with pytest.raises(KitMismatch, match="hearts"):
        load_kit(kit)


def test_an_expired_kit_says_so(kit: Path) -> None:
    with pytest.raises(KitExpired, match="expired") as caught:
        load_kit(kit, utc_now() + timedelta(days=31))
    assert "new certificate" in caught.value.hint
    with pytest.raises(KitExpired, match="not valid before"):
        load_kit(kit, utc_now() - timedelta(days=1))


class Office:
    """An authority with a coordinator and one site, as the real commands make it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority: Authority = init_authority(folder / "authority", "lungs")

    def request(self, party: str | None) -> bytes:
        return begin_kit(
            self.folder / (party or "coordinator"),
            federation="lungs",
            party=party,
            institution=f"Institution {party}",
            authority_pem=(self.folder / "authority" / "authority.pem").read_bytes(),
            hosts=() if party else ("agg.example",),
        )

    def issue(self, *files: bytes) -> dict[str, bytes]:
        authority = read_authority(self.folder / "authority")
        requests = [read_request(file) for file in files]
        for each in requests:
            authority = accept_request(authority, each)
        authority, roster = publish_roster(self.folder / "authority", authority)
        return {r.entry.party: write_grant(authority, r, roster, days=7) for r in requests}


def test_the_whole_way_of_a_real_federation(tmp_path: Path) -> None:
    office = Office(tmp_path)
    grants = office.issue(office.request(None), office.request("spain"))
    for party in ("coordinator", "spain"):
        assert install(tmp_path / party, grants[party]).roster.sites == ("spain",)
        assert load_kit(tmp_path / party).identity.name == party
    late = office.issue(office.request("italy"))
    assert install(tmp_path / "italy", late["italy"]).roster.epoch == 2
    newest = (tmp_path / "authority" / "roster.json").read_bytes()
    assert install(tmp_path / "coordinator", newest).roster.sites == ("italy", "spain")


def test_an_older_roster_is_not_installed(tmp_path: Path) -> None:
    office = Office(tmp_path)
    grants = office.issue(office.request(None), office.request("spain"))
    install(tmp_path / "coordinator", grants["coordinator"])
    old = (tmp_path / "coordinator" / "roster.json").read_bytes()
    office.issue(office.request("italy"))
    install(tmp_path / "coordinator", (tmp_path / "authority" / "roster.json").read_bytes())
    for rollback in (old, grants["coordinator"]):
        with pytest.raises(KitMismatch, match="epoch 1"):
            install(tmp_path / "coordinator", rollback)
    assert load_kit(tmp_path / "coordinator").roster.epoch == 2


def test_a_grant_for_another_is_not_installed(tmp_path: Path) -> None:
    office = Office(tmp_path)
    grants = office.issue(office.request(None), office.request("spain"))
    with pytest.raises(KitMismatch, match="coordinator"):
        install(tmp_path / "spain", grants["coordinator"])
    assert not (tmp_path / "spain" / "chain.pem").exists()
    for junk in (b"", b"{}", b'{"version":"fedmrg/enrolment-grant/v1"}'):
        with pytest.raises(FedmrgError):
            install(tmp_path / "spain", junk)


def test_a_revoked_site_learns_it_when_the_roster_comes(tmp_path: Path) -> None:
    office = Office(tmp_path)
    grants = office.issue(office.request(None), office.request("spain"), office.request("italy"))
    install(tmp_path / "spain", grants["spain"])
    _, roster = publish_roster(
        tmp_path / "authority", read_authority(tmp_path / "authority").revoke("spain")
    )
    with pytest.raises(PartyRevoked):
        install(tmp_path / "spain", roster)
    (tmp_path / "spain" / "roster.json").write_bytes(roster)
    with pytest.raises(PartyRevoked):
        load_kit(tmp_path / "spain")


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.request("spain")
    before = (tmp_path / "spain" / "signing.key").read_bytes()
    with pytest.raises(IdentityFolderInUse):
        office.request("spain")
    assert (tmp_path / "spain" / "signing.key").read_bytes() == before
    provision_throwaway(tmp_path / "run", "lungs", ["spain"], "localhost")
    with pytest.raises(IdentityFolderInUse):
        provision_throwaway(tmp_path / "run", "lungs", ["spain"], "localhost")


@pytest.mark.parametrize("key", ["chain", "roster", "party", "extra"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_that_nobody_signs_is_no_grant(kit: Path, key: str, text: str) -> None:
    before = load_kit(kit)
    grant = {"version": GRANT_FORM, "party": "spain", "chain": "", "roster": {}}
    with pytest.raises(IdentityFileInvalid):
        install(kit, with_value(grant, key, text))
    with pytest.raises(KitForeign):
        install(kit, text.encode())
    assert load_kit(kit).roster == before.roster


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("a003020102", "a00302010a"),  # version 11
        ("06072a8648ce3d0201", "06072a8648ce3d0257"),  # a key of a kind that nobody knows
    ],
)
def test_a_chain_that_cryptography_cannot_read_is_not_installed(
    kit: Path, found: str, put: str
) -> None:
    chain = (kit / "chain.pem").read_bytes()
    leaf = x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER).hex()
    der = bytes.fromhex(leaf.replace(found, put, 1))
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}"
    (kit / "chain.pem").write_text(f"{pem}-----END CERTIFICATE-----\n")
    with pytest.raises(IdentityFileInvalid):
        load_kit(kit)
