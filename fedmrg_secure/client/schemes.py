"""The scheme that a site encrypts with or opens with, with its key of a round."""

from __future__ import annotations

from fedmrg_secure.client.keyring import scheme_of_round
from fedmrg_secure.client.opening import last_residues
from fedmrg_secure.client.round_keys import new_round_key
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.sum_keys import fetch_sum_key
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
        AggregateRefused, ShareRefused, CertificateRefused, SharesInconsistent, OpeningRefused: see
            `sum_keys.fetch_sum_key`.
    """
    if not site.manifest.round_keys:
        return scheme_of_round(site, aggregate)
    plan, size = aggregate.plan_hash, site.factorization.vector_size
    keyless = CkksMultiparty(site.parameters, plan, size)
    residues = last_residues(site, aggregate)
    sum_key = fetch_sum_key(
        site,
        aggregate,
        lambda key: keyless.check_sum_key(key, residues, len(aggregate.included)),
    )
    return CkksMultiparty(site.parameters, plan, size, sum_key=sum_key)
