"""The shared decryption key of an epoch: made by the plan's key maker, sealed to every other site.

The coordinator relays sealed keys and can open none; the maker's own signature is checked by the
protocol's client. Keys lie in the site's state folder, readable by their owner only, and are
removed when the session ends.
"""

from __future__ import annotations

import time
from typing import ClassVar, Final, Protocol

from fedmrg_secure.client.site import Site
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.crypto.schemes import make_scheme, needs_key, new_key
from fedmrg_secure.crypto.seal_key import open_sealed, seal, sealing_info

_PACE_S: Final = 0.2
_PURPOSE: Final = "ckks-shared-key"


class KeyNotPublished(FedmrgError):
    """The key maker has not delivered the epoch's key in time."""

    code: ClassVar[str] = "FMRG-6231"


class KeyOrder(Protocol):
    """Who makes which key for which round: a plan, or an aggregate of the past."""

    @property
    def round(self) -> int: ...
    @property
    def key_epoch(self) -> int: ...
    @property
    def key_maker(self) -> str: ...


class KeySpoiled(FedmrgError):
    """This site has refused to open a sum under the key; it never uses the key again."""

    code: ClassVar[str] = "FMRG-6232"


def scheme_of_round(site: Site, plan: KeyOrder) -> Scheme:
    """The scheme with the key of the plan's epoch, made, fetched or already at hand.

    Raises:
        KeyNotPublished: the maker is silent beyond the round's deadline.
        KeySpoiled: a sum under this key was refused before.
    """
    if not needs_key(site.parameters):
        return make_scheme(site.parameters)
    if site.store.is_spoiled(plan.key_epoch):
        raise KeySpoiled(
            f"a sum under the key of epoch {plan.key_epoch} could not be opened: it was altered, "
            "or made with another key",
            hint="end this session, look into the coordinator, and start a new session: every "
            "further try would tell whoever alters sums something of the key",
        )
    key = site.store.key(plan.key_epoch)
    if plan.key_maker == site.name:
        key = key or _make_key(site, plan)
        _publish(site, plan, key)
    elif key is None:
        key = _fetch_key(site, plan)
    return make_scheme(site.parameters, key)


def _make_key(site: Site, plan: KeyOrder) -> SecretBytes:
    """A fresh key, on disk before anybody else has it: after a kill the same one is published."""
    site.progress.enter("making the key", plan.round)
    key = new_key(site.parameters)
    site.store.save_key(plan.key_epoch, key)
    return key


def _publish(site: Site, plan: KeyOrder, key: SecretBytes) -> None:
    """Seal the key to every site of the session, so that late ones can catch up."""
    sealed = site.store.sealed_keys(plan.key_epoch)
    if sealed is not None and site.status().key_available:
        return
    if sealed is None:
        sealed = {
            name: seal(site.roster.entry(name).seal_key, key, _info(site, plan, name))
            for name in site.manifest.sites
        }
        site.store.save_sealed_keys(plan.key_epoch, sealed)
    site.coordinator.publish_key(plan.round, plan.key_epoch, sealed)
    site.log({"type": "key.published", "round": plan.round, "epoch": plan.key_epoch})


def _fetch_key(site: Site, plan: KeyOrder) -> SecretBytes:
    site.progress.enter("awaiting the key", plan.round)
    deadline = time.monotonic() + site.manifest.round_deadline_ms / 1000
    while time.monotonic() < deadline:
        sealed = site.coordinator.fetch_key(plan.key_epoch, plan.key_maker)
        if sealed is not None:
            key = open_sealed(site.identity.seal_key, sealed, _info(site, plan, site.name))
            make_scheme(site.parameters, key)  # what is no key of the session's is not kept
            site.store.save_key(plan.key_epoch, key)
            site.log(
                {
                    "type": "key.received",
                    "round": plan.round,
                    "epoch": plan.key_epoch,
                    "key_maker": plan.key_maker,
                }
            )
            return key
        time.sleep(_PACE_S)
        site.status()  # raises when the session has failed meanwhile
    raise KeyNotPublished(
        f"{plan.key_maker} has not published the key of epoch {plan.key_epoch}",
        hint="the next round elects another maker",
    )


def _info(site: Site, plan: KeyOrder, recipient: str) -> bytes:
    return sealing_info(
        _PURPOSE,
        session=site.session,
        epoch=plan.key_epoch,
        sender=plan.key_maker,
        recipient=recipient,
    )
