"""The scheme that a site encrypts with or opens with, with its key of a round."""

from __future__ import annotations

from fedmrg_secure.client.keyring import scheme_of_round
from fedmrg_secure.client.round_keys import fetch_sum_key, new_round_key
from fedmrg_secure.client.site import Site
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan


def scheme_to_encrypt(site: Site, plan: RoundPlan, digest: bytes) -> Scheme:
    """The scheme for this site's update of a round; with round keys it serves one encryption.

    Raises:
        KeyNotPublished, KeySpoiled: see `keyring.scheme_of_round`.
    """
    if not site.manifest.round_keys:
        return scheme_of_round(site, plan)
    key = new_round_key(site, digest)
    return CkksMultiparty(site.parameters, digest, site.factorization.vector_size, key=key)


def scheme_to_open(site: Site, aggregate: AggregateInfo) -> Scheme:
    """The scheme that opens a round's sum, the round in hand or one of the past.

    Raises:
        KeyNotPublished, KeySpoiled: see `keyring.scheme_of_round`.
        AggregateRefused, ShareRefused, CertificateRefused: see `round_keys.fetch_sum_key`.
    """
    if not site.manifest.round_keys:
        return scheme_of_round(site, aggregate)
    sum_key = fetch_sum_key(site, aggregate)
    return CkksMultiparty(
        site.parameters, aggregate.plan_hash, site.factorization.vector_size, sum_key=sum_key
    )
