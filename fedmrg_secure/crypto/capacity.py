"""Whether a federation's settings fit a scheme, said before anything is trained."""

from __future__ import annotations

import math
from fractions import Fraction

from fedmrg_secure.crypto.errors import CapacityExceeded, ErrorBoundExceeded
from fedmrg_secure.crypto.multiparty_budget import DEFAULT_WIRE_BITS
from fedmrg_secure.crypto.parameters import SchemeParameters


def check_capacity(
    scheme: str,
    *,
    sites: int,
    clip_norm: float,
    precision_bits: int,
    max_error: float | None = None,
    max_weight: Fraction | int = 1,
    total_weight: Fraction | int | None = None,
    wire_bits: int = DEFAULT_WIRE_BITS,
) -> SchemeParameters:
    """The parameters for these settings, or the reason why there are none.

    Args:
        scheme: one of `parameters.SCHEMES`.
        sites: the largest number of sites in one sum.
        clip_norm: L2 bound on one site's update, in the update's units.
        precision_bits: the grid's step is ``clip_norm / 2^precision_bits``.
        max_error: largest allowed error of a coordinate of the mean, as a share of `clip_norm`;
            None: any.
        max_weight: the largest factor a site multiplies its update with before rounding.
        total_weight: the smallest sum of weights a round may have; None: ``sites * max_weight``.
        wire_bits: of ``ckks-multiparty``, see `SchemeParameters.for_config`.

    Raises:
        CapacityExceeded: the sum does not fit the modulus with the noise margin.
        ErrorBoundExceeded: the grid, or with ``ckks-multiparty`` grid and wire together, are
            coarser than `max_error`.
    """
    total_weight = sites * max_weight if total_weight is None else total_weight
    bound = error_bound(sites=sites, precision_bits=precision_bits, total_weight=total_weight)
    largest = math.ceil((1 << precision_bits) * Fraction(max_weight))
    if max_error is not None and bound > max_error:
        needed = precision_bits + math.ceil(math.log2(bound / max_error))
        raise ErrorBoundExceeded(
            f"a grid of clip_norm / 2^{precision_bits} errs by up to {bound:.2g} of clip_norm, "
            f"secure_aggregation.max_error allows {max_error:.2g}",
            hint=f"set update.precision_bits to {needed} or allow a larger max_error",
        )
    try:
        parameters = SchemeParameters.for_config(
            scheme,
            sites=sites,
            max_abs_value=largest,
            max_norm=largest,
            wire_bits=wire_bits,
        )
    except CapacityExceeded as error:
        raise CapacityExceeded(
            f"{error.message} (update.precision_bits: {precision_bits}, "
            f"clip_norm {clip_norm:g}, {sites} sites)",
            hint=_mend(scheme, sites, precision_bits, Fraction(max_weight), wire_bits),
        ) from error
    noise = parameters.sum_error_bound(sites)
    bound += math.ldexp(noise / float(total_weight), -precision_bits)
    if max_error is not None and bound > max_error:
        raise ErrorBoundExceeded(
            f"{scheme} with {wire_bits} bits on the wire errs by up to {noise} grid steps in a sum "
            f"of {sites} sites: {bound:.2g} of clip_norm, secure_aggregation.max_error allows "
            f"{max_error:.2g}",
            hint="use more bits on the wire or allow a larger max_error",
        )
    return parameters


def error_bound(*, sites: int, precision_bits: int, total_weight: Fraction | int) -> float:
    """The largest error of a coordinate of the mean, as a share of `clip_norm`.

    Encryption adds nothing to it where opened sums are exact; where they are not, add
    ``SchemeParameters.sum_error_bound`` grid steps over the total weight.
    """
    return math.ldexp(sites / float(total_weight), -precision_bits - 1)


def max_precision_bits(
    scheme: str,
    *,
    sites: int,
    max_weight: Fraction | int = 1,
    wire_bits: int = DEFAULT_WIRE_BITS,
) -> int:
    """The finest grid, 8 to 30 bits, that the scheme carries for `sites`; 0 if none."""
    for bits in range(30, 7, -1):
        largest = math.ceil((1 << bits) * Fraction(max_weight))
        try:
            SchemeParameters.for_config(
                scheme,
                sites=sites,
                max_abs_value=largest,
                max_norm=largest,
                wire_bits=wire_bits,
            )
        except CapacityExceeded:
            continue
        return bits
    return 0


def _mend(
    scheme: str, sites: int, precision_bits: int, max_weight: Fraction, wire_bits: int
) -> str:
    bits = max_precision_bits(scheme, sites=sites, max_weight=max_weight, wire_bits=wire_bits)
    if 0 < bits < precision_bits:
        return f"set update.precision_bits to {bits} or less"
    return "use fewer sites"
