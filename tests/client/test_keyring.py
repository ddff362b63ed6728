"""The federation's shared key as another site makes it: nothing of it is kept before it is one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedmrg_secure.client import keyring
from fedmrg_secure.client.state import SiteStore
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.schemes import new_key
from fedmrg_secure.crypto.seal_key import generate_seal_key, seal, seal_public_key

PARAMETERS = SchemeParameters.for_config("ckks-shared", sites=3, max_abs_value=1 << 12)
PLAN: Any = SimpleNamespace(round=1, key_epoch=1, key_maker="beta")


def site_that_is_sent(folder: Path, key: SecretBytes) -> Any:
    """A site whose key maker has sealed this to it."""
    own = generate_seal_key()
    site: Any = SimpleNamespace(
        name="alpha",
        session=bytes(32),
        manifest=SimpleNamespace(round_deadline_ms=1000),
        identity=SimpleNamespace(seal_key=own),
        parameters=PARAMETERS,
        store=SiteStore(folder),
        progress=SimpleNamespace(enter=lambda *_: None),
        log=lambda event: None,
    )
    sealed = seal(seal_public_key(own), key, keyring._info(site, PLAN, "alpha"))
    site.coordinator = SimpleNamespace(fetch_key=lambda epoch, maker: sealed)
    return site


def test_a_key_is_kept_once_it_is_fetched(tmp_path: Path) -> None:
    key = new_key(PARAMETERS)
    site = site_that_is_sent(tmp_path / "state", key)
    keyring.scheme_of_round(site, PLAN)
    assert site.store.key(1).reveal() == key.reveal()


def test_what_is_no_key_is_not_kept(tmp_path: Path) -> None:
    site = site_that_is_sent(tmp_path / "state", SecretBytes(b"no key" * 100))
    with pytest.raises(FedmrgError):
        keyring.scheme_of_round(site, PLAN)
    assert site.store.key(1) is None
