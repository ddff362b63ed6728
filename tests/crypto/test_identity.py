"""An identity shows who it is and none of its keys."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from fedmrg_secure.crypto.identity import NoSealingKey, PartyIdentity
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.signing import SigningKey

TLS_KEY, SEAL_KEY = b"-----BEGIN PRIVATE KEY-----", b"thirty-two bytes of seal secret!"


def identity(**changes: object) -> PartyIdentity:
    base = PartyIdentity(
        federation="lungs",
        name="spain",
        role="site",
        tls_chain_pem=b"chain",
        tls_key_pem=SecretBytes(TLS_KEY),
        authority_pem=b"root",
        signing_key=SigningKey.generate("spain"),
        hpke_private_key=SecretBytes(SEAL_KEY),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_no_secret_is_shown() -> None:
    shown = repr(identity())
    assert shown == "PartyIdentity(federation='lungs', name='spain', role='site')"


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, copy.copy, dataclasses.asdict])
def test_an_identity_cannot_be_copied_out(leak: object) -> None:
    with pytest.raises(SecretUnavailable):
        leak(identity())  # type: ignore[operator]


def test_only_a_site_has_a_sealing_key() -> None:
    assert identity().seal_key.reveal() == SEAL_KEY
    with pytest.raises(NoSealingKey):
        _ = identity(name="coordinator", hpke_private_key=None).seal_key


def test_the_coordinator_is_expected_under_its_dns_name() -> None:
    assert identity().coordinator_name == "coordinator.lungs.internal"
