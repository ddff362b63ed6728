"""What a run cost: bytes beside what other ways would have sent, and seconds by phase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fedmrg_secure.reports.run import Communication, RoundRow

PHASES: Final = {
    "train": "training",
    "encrypt": "encrypting",
    "certify": "certifying, with the others",
    "upload": "uploading",
    "wait": "waiting for others",
    "download": "downloading",
    "open": "opening the sum",
}
"""Phase -> how the page names it, in order of a round."""

_FLOAT32_BYTES: Final = 4
_LOG_FLOOR: Final = 0.04


@dataclass(frozen=True, slots=True)
class SentBar:
    """Bytes that one site sends in one round; `share` in (0, 1] is the bar's length, log scale."""

    label: str
    note: str
    bytes: int
    share: float
    ours: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the log scale at `share` of its length."""

    bytes: int
    share: float


@dataclass(frozen=True, slots=True)
class Slice:
    """A phase's part of a site's time; `share` of the longest site's total."""

    phase: str
    title: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class SiteTime:
    """A site's seconds over all rounds."""

    site: str
    total: float
    slices: tuple[Slice, ...]


def sent_bars(sent: Communication, *, encrypted: bool) -> tuple[SentBar, ...]:
    """The four ways to send an update, this run's own last; bars on a log scale.

    Args:
        sent: the run's own figures.
        encrypted: whether the run's uploads were encrypted.
    """
    ours = "as sent, encrypted" if encrypted else "as sent, not encrypted"
    figures = [
        ("Full model", "every parameter as float32", sent.parameters_total * _FLOAT32_BYTES, False),
        (
            "Plain LoRA",
            "both factors and the same heads as float32",
            sent.parameters_plain_lora * _FLOAT32_BYTES,
            False,
        ),
        ("This update in the clear", "as float32", sent.parameters_sent * _FLOAT32_BYTES, False),
        ("This run", ours, sent.bytes_up_per_round_per_site, True),
    ]
    figures = [figure for figure in figures if figure[2] > 0]
    if not figures:
        return ()
    low, high = decades([figure[2] for figure in figures])
    span = max(high - low, 1)
    return tuple(
        SentBar(label, note, count, max((math.log10(count) - low) / span, _LOG_FLOOR), own)
        for label, note, count, own in figures
    )


def sent_ticks(bars: Sequence[SentBar]) -> tuple[Tick, ...]:
    """The log scale under `sent_bars`: a tick a power of ten."""
    if not bars:
        return ()
    low, high = decades([bar.bytes for bar in bars])
    span = max(high - low, 1)
    return tuple(Tick(10**power, (power - low) / span) for power in range(low, high + 1))


def decades(counts: Sequence[int]) -> tuple[int, int]:
    """The powers of ten just below and just above the counts (all > 0)."""
    low = math.floor(math.log10(min(counts)))
    high = math.ceil(math.log10(max(counts)))
    return (low - 1 if 10**low == min(counts) else low), high


def site_times(rows: Sequence[RoundRow]) -> tuple[SiteTime, ...]:
    """Each site's seconds by phase over all rounds, in the order of the sites' first rows."""
    totals: dict[str, dict[str, float]] = {}
    for row in rows:
        own = totals.setdefault(row.site, {})
        for phase, seconds in row.seconds.items():
            own[phase] = own.get(phase, 0.0) + seconds
    longest = max((sum(own.values()) for own in totals.values()), default=0.0)
    if longest <= 0:
        return ()
    return tuple(
        SiteTime(site, sum(own.values()), _slices(own, longest)) for site, own in totals.items()
    )


def _slices(own: dict[str, float], longest: float) -> tuple[Slice, ...]:
    order = [phase for phase in PHASES if phase in own]
    order += sorted(phase for phase in own if phase not in PHASES)
    return tuple(
        Slice(phase, PHASES.get(phase, phase), own[phase], own[phase] / longest) for phase in order
    )
