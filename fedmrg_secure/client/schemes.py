"""The scheme that a site encrypts with or opens with, with its key of a round while it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from fedmrg_secure.client.keyring import scheme_of_round
from fedmrg_secure.client.opening import last_residues, open_sum
from fedmrg_secure.client.progress import Stopwatch
from fedmrg_secure.client.round_keys import new_round_key
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.sum_keys import fetch_sum_key
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan


@contextmanager
def scheme_to_encrypt(site: Site, plan: RoundPlan, digest: bytes) -> Iterator[Scheme]:
    """The scheme for this site's update of a round; with round keys it serves one encryption.

    A round's key is overwritten in memory at the block's end. If the block fails, nothing was sent
    of it: the key's file goes too, and whatever was encrypted.

    Raises:
        KeyNotPublished, KeySpoiled: see `keyring.scheme_of_round`.
    """
    if not site.manifest.round_keys:
        yield scheme_of_round(site, plan)
        return
    key = new_round_key(site, digest)
    try:
        yield CkksMultiparty(site.parameters, digest, site.factorization.vector_size, key=key)
    except BaseException:
        site.store.clear_outgoing()
        site.store.forget_round_key()
        raise
    finally:
        key.destroy()


def open_round(site: Site, aggregate: AggregateInfo, watch: Stopwatch) -> IntVector:
    """The sum of a round, the round in hand or one of the past; see `opening.open_sum`.

    A round's key that all share sums agree on is tried on the sum as it comes in. Only if it does
    not open it is the frame with the check block fetched by itself, to find a key that does.

    Raises:
        KeyNotPublished, KeySpoiled: see `keyring.scheme_of_round`.
        AggregateRefused, ShareRefused, CertificateRefused, SharesInconsistent, OpeningRefused: see
            `sum_keys.fetch_sum_key` and `opening.open_sum`.
    """
    try:
        with _scheme_to_open(site, aggregate, watch, untried=True) as scheme:
            return open_sum(site, scheme, aggregate, watch)
    except OpeningRefused:
        if not site.manifest.round_keys:
            raise
    with _scheme_to_open(site, aggregate, watch, untried=False) as scheme:
        return open_sum(site, scheme, aggregate, watch)


@contextmanager
def _scheme_to_open(
    site: Site, aggregate: AggregateInfo, watch: Stopwatch, *, untried: bool
) -> Iterator[Scheme]:
    """The scheme that opens a round's sum; the sum's key is overwritten at the block's end."""
    if not site.manifest.round_keys:
        with watch.measure("open"):
            scheme = scheme_of_round(site, aggregate)
        yield scheme
        return
    plan, size = aggregate.plan_hash, site.factorization.vector_size
    with watch.measure("open"):
        keyless = CkksMultiparty(site.parameters, plan, size)
        residues = cache(lambda: last_residues(site, aggregate))
        sum_key = fetch_sum_key(
            site,
            aggregate,
            lambda key: keyless.check_sum_key(key, residues(), len(aggregate.included)),
            untried=untried,
        )
    try:
        yield CkksMultiparty(site.parameters, plan, size, sum_key=sum_key)
    finally:
        sum_key.destroy()
