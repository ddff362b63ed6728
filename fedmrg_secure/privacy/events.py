"""What was done to the data, as values: each event says how its noise and its sampling were drawn.

Accountants interpret events; the ledger keeps them. A meaning never changes: a new mechanism is a
new kind. The neighbouring relation is always that one unit (a patient, or a record) is added or
removed, and the sensitivity is the L2 norm of what one unit adds to the sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, Literal, get_args

from fedmrg_secure.core.canonical import JsonValue
from fedmrg_secure.core.errors import FedmrgError

Unit = Literal["patient", "record"]
UNITS: Final[tuple[str, ...]] = get_args(Unit)

_MAX_COUNT: Final = 1 << 53


class UnknownEvent(FedmrgError):
    """A privacy event is of no known kind, or a number of it is NaN or out of range."""

    code: ClassVar[str] = "FMRG-4621"


@dataclass(frozen=True, slots=True)
class ContinuousNoise:
    """Gaussian noise on the reals.

    Attributes:
        noise_multiplier: standard deviation over sensitivity, > 0.
    """

    noise_multiplier: float

    def __post_init__(self) -> None:
        _check(
            0 < self.noise_multiplier < math.inf, "a noise multiplier", str(self.noise_multiplier)
        )


@dataclass(frozen=True, slots=True)
class GridNoise:
    """Discrete Gaussian noise on every coordinate of an integer sum (`mechanism`).

    Attributes:
        sigma: of `discrete_gaussian`, in grid steps, > 0.
        sensitivity: what one unit adds to the sum at most, L2, in grid steps, > 0. It must hold
            exactly for the integer vectors that are summed, rounding to the grid included.
        coordinates: of the sum, each with its own independent noise, >= 1.
    """

    sigma: Fraction
    sensitivity: Fraction
    coordinates: int

    def __post_init__(self) -> None:
        _check(self.sigma > 0, "sigma", str(self.sigma))
        _check(self.sensitivity > 0, "a sensitivity", str(self.sensitivity))
        _check(1 <= self.coordinates < _MAX_COUNT, "coordinates", str(self.coordinates))

    @property
    def noise_multiplier(self) -> float:
        """sigma over sensitivity, rounded down."""
        exact = self.sigma / self.sensitivity
        near = float(exact)
        return near if Fraction(near) <= exact else math.nextafter(near, 0.0)


@dataclass(frozen=True, slots=True)
class EveryUnit:
    """No sampling: all units are in the sum."""

    @property
    def rate(self) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True, slots=True)
class PoissonSampling:
    """Each unit is in a step's sum independently; the sum is not cut, however many there are.

    Attributes:
        rate: the probability q, 0 < q <= 1.
    """

    rate: float

    def __post_init__(self) -> None:
        _check(0 < self.rate <= 1, "a sampling rate", str(self.rate))


@dataclass(frozen=True, slots=True)
class TruncatedPoissonSampling:
    """Poisson sampling whose batches are cut to a largest size; which units stay does not matter.

    Attributes:
        rate: the probability q before cutting, 0 < q <= 1.
        largest_batch: units that may be in a step's sum, >= 1.
        units: of the data set, >= 1.
    """

    rate: float
    largest_batch: int
    units: int

    def __post_init__(self) -> None:
        _check(0 < self.rate <= 1, "a sampling rate", str(self.rate))
        _check(1 <= self.largest_batch < _MAX_COUNT, "a largest batch", str(self.largest_batch))
        _check(1 <= self.units < _MAX_COUNT, "a number of units", str(self.units))


Noise = ContinuousNoise | GridNoise
Sampling = EveryUnit | PoissonSampling | TruncatedPoissonSampling


@dataclass(frozen=True, slots=True)
class PrivacyEvent:
    """Noisy sums of the data: one or many steps of one kind, each with fresh noise and sampling.

    Attributes:
        noise: what is added to each sum.
        sampling: which units are in each sum.
        steps: sums, >= 1. What is summed may depend on the results of earlier steps.
    """

    noise: Noise
    sampling: Sampling
    steps: int

    def __post_init__(self) -> None:
        _check(
            not isinstance(self.steps, bool) and 1 <= self.steps < _MAX_COUNT,
            "steps",
            str(self.steps),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """The event as JSON without floats; `event_from_json` reads it back to the same value."""
        return {
            "kind": _KIND,
            "noise": _noise_to_json(self.noise),
            "sampling": _sampling_to_json(self.sampling),
            "steps": self.steps,
        }


_KIND: Final = "noisy-sums"


def event_from_json(value: object) -> PrivacyEvent:
    """Read what `PrivacyEvent.to_json` wrote.

    Raises:
        UnknownEvent: it is of another kind, incomplete, has more in it, or holds a bad number.
    """
    fields = _fields(value, "an event", {"kind", "noise", "sampling", "steps"})
    if fields["kind"] != _KIND:
        raise _unknown(f"an event of kind {str(fields['kind'])[:40]!r}")
    return PrivacyEvent(
        _noise_from_json(fields["noise"]),
        _sampling_from_json(fields["sampling"]),
        _integer(fields["steps"], "steps"),
    )


def _noise_to_json(noise: Noise) -> dict[str, JsonValue]:
    if isinstance(noise, ContinuousNoise):
        return {"kind": "gaussian", "noise_multiplier": repr(noise.noise_multiplier)}
    return {
        "kind": "discrete-gaussian",
        "sigma": str(noise.sigma),
        "sensitivity": str(noise.sensitivity),
        "coordinates": noise.coordinates,
    }


def _noise_from_json(value: object) -> Noise:
    match _kind(value, "noise"):
        case "gaussian":
            fields = _fields(value, "noise", {"kind", "noise_multiplier"})
            return ContinuousNoise(_real(fields["noise_multiplier"], "a noise multiplier"))
        case "discrete-gaussian":
            fields = _fields(value, "noise", {"kind", "sigma", "sensitivity", "coordinates"})
            return GridNoise(
                _rational(fields["sigma"], "sigma"),
                _rational(fields["sensitivity"], "a sensitivity"),
                _integer(fields["coordinates"], "coordinates"),
            )
        case other:
            raise _unknown(f"noise of kind {other!r}")


def _sampling_to_json(sampling: Sampling) -> dict[str, JsonValue]:
    match sampling:
        case EveryUnit():
            return {"kind": "every-unit"}
        case PoissonSampling(rate):
            return {"kind": "poisson", "rate": repr(rate)}
        case TruncatedPoissonSampling(rate, largest_batch, units):
            return {
                "kind": "truncated-poisson",
                "rate": repr(rate),
                "largest_batch": largest_batch,
                "units": units,
            }


def _sampling_from_json(value: object) -> Sampling:
    match _kind(value, "sampling"):
        case "every-unit":
            _fields(value, "sampling", {"kind"})
            return EveryUnit()
        case "poisson":
            fields = _fields(value, "sampling", {"kind", "rate"})
            return PoissonSampling(_real(fields["rate"], "a sampling rate"))
        case "truncated-poisson":
            fields = _fields(value, "sampling", {"kind", "rate", "largest_batch", "units"})
            return TruncatedPoissonSampling(
                _real(fields["rate"], "a sampling rate"),
                _integer(fields["largest_batch"], "a largest batch"),
                _integer(fields["units"], "a number of units"),
            )
        case other:
            raise _unknown(f"sampling of kind {other!r}")


def _kind(value: object, what: str) -> str:
    if not isinstance(value, Mapping):
        raise _unknown(f"{what} that is not an object")
    return str(value.get("kind"))[:40]


def _fields(value: object, what: str, names: set[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or set(value) != names:
        raise _unknown(f"{what} without exactly the fields {', '.join(sorted(names))}")
    return value


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unknown(f"{what} that is not a whole number")
    return value


def _real(value: object, what: str) -> float:
    try:
        if isinstance(value, str) and len(value) <= 40:
            return float(value)
    except ValueError:
        pass
    raise _unknown(f"{what} that is not a decimal number")


def _rational(value: object, what: str) -> Fraction:
    try:
        if isinstance(value, str) and len(value) <= 200 and "e" not in value.lower():
            return Fraction(value)
    except (ValueError, ZeroDivisionError):
        pass
    raise _unknown(f"{what} that is not a rational number")


def _check(holds: bool, what: str, got: str) -> None:
    if not holds:
        raise _unknown(f"{what} of {got}")


def _unknown(what: str) -> UnknownEvent:
    return UnknownEvent(
        f"cannot account for {what}",
        hint="nothing is accounted for by guessing: see docs/privacy.md for the known mechanisms",
    )
