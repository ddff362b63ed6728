"""The authority's certificates against RFC 5280 and a strict verifier; its folder on disk."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.crypto.certificates import coordinator_dns_name
from fedmrg_secure.provisioning.authority import Authority, create_authority
from fedmrg_secure.provisioning.authority_folder import (
    init_authority,
    publish_roster,
    read_authority,
)
from fedmrg_secure.provisioning.certificate_forms import EnrolmentRefused
from fedmrg_secure.provisioning.enrolment import PartyKeys
from fedmrg_secure.provisioning.files import (
    IdentityFileExposed,
    IdentityFileInvalid,
    IdentityFileMissing,
    IdentityFolderInUse,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return create_authority("lungs", now=NOW)[0]


def chain(
    authority: Authority, role: str, party: str, hosts: tuple[str, ...] = (), days: int = 7
) -> list[x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = authority.issue(role, party, key, hosts=hosts, days=days, now=NOW)
    return x509.load_pem_x509_certificates(pem)


def policy(authority: Authority, at: datetime = NOW) -> PolicyBuilder:
    return PolicyBuilder().store(Store([authority.root])).time(at.replace(tzinfo=None))


def test_a_site_verifies_as_client_only(authority: Authority) -> None:
    leaf, issuing = chain(authority, "site", "spain")
    policy(authority).build_client_verifier().verify(leaf, [issuing])
    with pytest.raises(VerificationError):
        policy(authority).build_server_verifier(x509.DNSName("spain")).verify(leaf, [issuing])


def test_the_coordinator_verifies_as_server_only(authority: Authority) -> None:
    leaf, issuing = chain(authority, "coordinator", "coordinator", ("127.0.0.1", "agg.example"))
    for name in (coordinator_dns_name("lungs"), "agg.example"):
        verifier = policy(authority).build_server_verifier(x509.DNSName(name))
        verifier.verify(leaf, [issuing])
    with pytest.raises(VerificationError):
        policy(authority).build_client_verifier().verify(leaf, [issuing])
    other = x509.DNSName(coordinator_dns_name("hearts"))
    with pytest.raises(VerificationError):
        policy(authority).build_server_verifier(other).verify(leaf, [issuing])


def test_a_leaf_is_nothing_without_its_own_root_and_issuer(authority: Authority) -> None:
    leaf, issuing = chain(authority, "site", "spain")
    stranger = create_authority("lungs", now=NOW)[0]
    with pytest.raises(VerificationError):
        policy(stranger).build_client_verifier().verify(leaf, [issuing])
    with pytest.raises(VerificationError):
        policy(authority).build_client_verifier().verify(leaf, [])


def test_path_lengths_curves_and_usages(authority: Authority) -> None:
    leaf, issuing = chain(authority, "site", "spain")
    constraints = [
        each.extensions.get_extension_for_class(x509.BasicConstraints)
        for each in (authority.root, issuing, leaf)
    ]
    assert [(c.value.ca, c.value.path_length, c.critical) for c in constraints] == [
        (True, 1, True),
        (True, 0, True),
        (False, None, True),
    ]
    curves = [each.public_key().curve.name for each in (authority.root, issuing, leaf)]  # type: ignore[union-attr]
    assert curves == ["secp384r1", "secp384r1", "secp256r1"]
    usages = [
        each.extensions.get_extension_for_class(x509.KeyUsage).value
        for each in (authority.root, issuing, leaf)
    ]
    assert [usage.key_cert_sign for usage in usages] == [True, True, False]
    assert [usage.digital_signature for usage in usages] == [False, False, True]


def test_a_leaf_cannot_issue(authority: Authority) -> None:
    mallory = ec.generate_private_key(ec.SECP256R1())
    pem = authority.issue("site", "mallory", mallory.public_key(), now=NOW)
    own, issuing = x509.load_pem_x509_certificates(pem)
    victim, _ = chain(authority, "site", "spain")
    builder = x509.CertificateBuilder(
        issuer_name=own.subject,
        subject_name=victim.subject,
        public_key=mallory.public_key(),
        serial_number=1,
        not_valid_before=NOW,
        not_valid_after=NOW + timedelta(days=1),
    )
    for extension in victim.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    forged = builder.sign(mallory, hashes.SHA256())
    with pytest.raises(VerificationError):
        policy(authority).build_client_verifier().verify(forged, [own, issuing])


def test_validity_is_short_and_never_beyond_the_issuer(authority: Authority) -> None:
    leaf, issuing = chain(authority, "site", "spain", days=7)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=7)
    assert NOW - timedelta(hours=1) < leaf.not_valid_before_utc < NOW
    long, issuing = chain(authority, "site", "spain", days=9999)
    assert long.not_valid_after_utc <= issuing.not_valid_after_utc
    late = policy(authority, NOW + timedelta(days=8))
    with pytest.raises(VerificationError):
        late.build_client_verifier().verify(leaf, [issuing])


def test_an_issuing_authority_that_has_run_out_issues_nothing(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(EnrolmentRefused, match="run out"):
        authority.issue("site", "spain", key, now=NOW + timedelta(days=365))


@pytest.mark.parametrize("host", ["", "two words", "-agg", "ägg.example", "a" * 254, "a/b", "*"])
def test_hosts_are_names_or_addresses(authority: Authority, host: str) -> None:
    with pytest.raises(EnrolmentRefused, match="neither"):
        chain(authority, "coordinator", "coordinator", (host,))


@pytest.mark.parametrize("host", ["agg.example", "localhost", "10.0.0.1", "::1"])
def test_hosts_of_every_kind_are_certified(authority: Authority, host: str) -> None:
    leaf, _ = chain(authority, "coordinator", "coordinator", (host,))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert host in {str(name.value) for name in names}


def test_federations_have_sane_names() -> None:
    with pytest.raises(InvalidName):
        create_authority("Lungs of Europe")


def enrolled(folder: Path) -> Authority:
    authority = init_authority(folder, "lungs")
    for role, party in (("coordinator", "coordinator"), ("site", "spain")):
        authority = authority.enrol(PartyKeys.generate(role).entry(role, party, party))
    return publish_roster(folder, authority)[0]


def test_an_authority_survives_in_its_folder(tmp_path: Path) -> None:
    made = enrolled(tmp_path / "authority")
    (tmp_path / "authority" / "root" / "root.key").unlink()  # the root rests elsewhere
    read = read_authority(tmp_path / "authority")
    assert (read.federation, read.epoch, read.entries) == ("lungs", 1, made.entries)
    assert read.fingerprint == made.fingerprint
    again, _ = publish_roster(tmp_path / "authority", read.revoke("spain"))
    assert read_authority(tmp_path / "authority").entries == again.entries
    assert chain(read, "site", "spain")[0].issuer == made.issuing.certificate.subject


def test_private_keys_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    enrolled(folder)
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    key = folder / "issuing" / "issuing.key"
    key.chmod(0o640)
    with pytest.raises(IdentityFileExposed):
        read_authority(folder)


def test_an_authority_is_not_overwritten(tmp_path: Path) -> None:
    init_authority(tmp_path, "lungs")
    with pytest.raises(IdentityFolderInUse):
        init_authority(tmp_path, "lungs")


def test_what_is_no_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityFileMissing):
        read_authority(tmp_path)
    enrolled(tmp_path / "authority")
    issuing = tmp_path / "authority" / "issuing"
    (issuing / "issuing.key").write_bytes((issuing / "roster.key").read_bytes())
    with pytest.raises(IdentityFileInvalid):
        read_authority(tmp_path / "authority")


def test_the_first_roster_needs_coordinator_and_site(tmp_path: Path) -> None:
    authority = init_authority(tmp_path, "lungs")
    lonely = authority.enrol(PartyKeys.generate("site").entry("site", "spain", "spain"))
    with pytest.raises(IdentityFileInvalid):
        publish_roster(tmp_path, lonely)
