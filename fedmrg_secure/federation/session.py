"""Pinning a session: the terms that every site works out for itself and compares."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar

from fedmrg_secure import __version__
from fedmrg_secure.client.state import hash_state
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import party_name
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, CKKS_SHARED, SchemeParameters
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.update.factorization import Factorization, make_factorization


class SitesNotEnrolled(InputError):
    """A site of the session is not in the roster, or a weight names no site of the session."""

    code: ClassVar[str] = "FMRG-6004"


def pin_session(
    config: RunConfig, roster: Roster, weights: Mapping[str, int] | None = None
) -> SessionManifest:
    """The session of a federation of machines, from what the consortium agreed on.

    No data is read: whoever pins a session need not be a site.

    Args:
        config: the common configuration; ``data`` gives the image size only.
        roster: the federation's parties; `config.federation.sites` chooses among its sites.
        weights: with ``weighting: records`` the largest number of training records that each
            site may declare; else absent.

    Raises:
        SitesNotEnrolled: a site is not in the roster, or the weights are not those of the sites.
        CapacityExceeded, ErrorBoundExceeded: the numbers do not fit the scheme.
    """
    asked = config.federation.sites
    sites = roster.sites if asked is None else tuple(sorted(map(party_name, asked)))
    if absent := sorted(set(sites) - set(roster.sites)):
        raise SitesNotEnrolled(
            f"federation.sites names {', '.join(absent)}, not in the roster",
            hint=f"enrolled sites are {', '.join(roster.sites)}",
        )
    caps = _caps(config, sites, weights or {})
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    factorization = make_factorization(
        config.update, {name: array.shape for name, array in generator.shared_state().items()}
    )
    parameters = check_capacity(
        config.secure_aggregation.scheme,
        sites=len(sites),
        clip_norm=config.update.clip_norm,
        precision_bits=config.update.precision_bits,
        max_error=config.secure_aggregation.max_error,
        wire_bits=config.secure_aggregation.wire_bits,
        total_weight=Fraction(sum(caps.values()), max(caps.values())),
    )
    return make_manifest(config, roster, generator, factorization, parameters, caps)


def make_manifest(
    config: RunConfig,
    roster: Roster,
    generator: ReportGenerator,
    factorization: Factorization,
    parameters: SchemeParameters,
    weights: Mapping[str, int],
) -> SessionManifest:
    """The manifest of a fresh session; `weights` holds each site's largest weight."""
    own_keys = parameters.scheme == CKKS_MULTIPARTY
    initial = factorization.initial(generator.shared_state())
    return SessionManifest(
        federation=roster.federation,
        name=config.name,
        nonce=secrets.token_hex(32),
        rounds=config.training.rounds * factorization.passes,
        scheme=parameters.scheme,
        scheme_parameters=parameters.to_json(),
        scheme_digest=parameters.digest,
        shared_key=parameters.scheme == CKKS_SHARED,
        rotate_after=config.secure_aggregation.rotate_after,
        round_keys=own_keys,
        colluders=config.secure_aggregation.colluders if own_keys else 0,
        certificate=config.secure_aggregation.certificate,
        factorization_digest=factorization.digest,
        value_count=factorization.vector_size,
        state_value_count=sum(values.size for values in initial.values()),
        base_hash=generator.base_hash,
        tokenizer_hash=generator.tokenizer_hash,
        initial_state_hash=hash_state(initial),
        software=__version__,
        clip_norm=decimal(config.update.clip_norm),
        precision_bits=config.update.precision_bits,
        weighting=config.update.weighting,
        weights=weights,
        roster_hash=roster.hash,
        min_sites=config.federation.min_sites,
        site_timeout_ms=round(config.federation.site_timeout_s * 1000),
        join_deadline_ms=round(config.federation.join_deadline_s * 1000),
        round_deadline_ms=round(config.federation.round_deadline_s * 1000),
    )


def decimal(value: float) -> str:
    """A positive number as the fewest plain decimal digits that read back as the same float."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _caps(config: RunConfig, sites: tuple[str, ...], weights: Mapping[str, int]) -> dict[str, int]:
    if config.update.weighting == "uniform":
        if weights:
            raise SitesNotEnrolled(
                "weights are given, but update.weighting is uniform",
                hint="leave them out, or set update.weighting: records",
            )
        return dict.fromkeys(sites, 1)
    if set(weights) != set(sites):
        raise SitesNotEnrolled(
            "with update.weighting: records every site needs a largest weight",
            hint=f"give one for each of {', '.join(sites)}, and for no other",
        )
    return dict(weights)
