"""What is known of a run, as frozen values. A run that failed or still goes has parts missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmrg_secure.core.config import RunConfig

ROLES: Final = ("participating", "unseen")
"""The two kinds of centre."""

Metrics = Mapping[str, float]
"""Metric name -> value, in [0, 1] but for CIDEr in [0, 10] and a cosine in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """``run.json``: what was started, with which software, and how it ended."""

    name: str
    status: str
    command: str
    version: str
    python: str
    started: str
    finished: str
    error: str
    sites: tuple[str, ...]
    unseen: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RoundRow:
    """What one site did in one round of the protocol, `Summary.passes` to a training round.

    `seconds` by phase; `loss` is None where none was finite or nothing was trained; `losses` by
    part, empty where they are not known.
    """

    round: int
    site: str
    loss: float | None
    losses: Mapping[str, float]
    steps: int
    records: int
    seconds: Mapping[str, float]
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """The metrics of one centre after one round; round 0 is the untrained model.

    `path` says which adapters wrote: ``generic``, or ``specialized mix`` and the weight.
    """

    round: int
    centre: str
    title: str
    role: str
    records: int
    final: bool
    path: str
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class PooledRow:
    """The metrics of all test records of a role taken as one set, after one round."""

    round: int
    role: str
    records: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Communication:
    """Numbers of parameters, and bytes as they were on the wire."""

    parameters_sent: int
    parameters_total: int
    parameters_plain_lora: int
    bytes_up_per_round_per_site: int
    bytes_down_per_round_per_site: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """The head of one party's log: number of entries and RFC 6962 root, hex."""

    party: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class PrivacySpent:
    """What a private run has cost one site's patients, by the site's ledger at its end.

    `epsilon` is of this run in `rounds` charged rounds; `spent` of all runs on the data, out of
    `budget`.
    """

    site: str
    unit: str
    delta: float
    epsilon: float
    rounds: int
    noise_multiplier: float
    sampling_rate: float
    population: int
    spent: float
    budget: float


@dataclass(frozen=True, slots=True)
class UnreadableLedger:
    """A site's ledger that could not be read at the run's end, and the error's code."""

    site: str
    code: str


@dataclass(frozen=True, slots=True)
class DiscontinuedLedger:
    """A site's ledger that other sites found restored or begun anew, in a round of the protocol."""

    site: str
    round: int
    reason: str
    noticed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The runner's part of ``summary.json``; `peak_memory_mb` in MiB.

    `privacy` is empty for a run without differential privacy, or one that has not finished.
    """

    rounds: int
    sites: tuple[str, ...]
    unseen: tuple[str, ...]
    communication: Communication | None
    seconds_total: float | None
    peak_memory_mb: float | None
    passes: int
    scheme: Mapping[str, str]
    logs: tuple[LogHead, ...]
    privacy: tuple[PrivacySpent, ...] = ()
    unreadable: tuple[UnreadableLedger, ...] = ()
    discontinued: tuple[DiscontinuedLedger, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One shown image with its texts; `statuses` is class -> probability of POSITIVE.

    `generated` was written by `path`, `generic` by the generic adapter alone.
    """

    centre: str
    role: str
    record_id: str
    image_png: bytes
    reference: str
    untrained: str
    generated: str
    generic: str
    path: str
    statuses: Metrics


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a report shows of a run.

    `generic` holds the generic path's figures at centres that write by another.
    """

    root: Path
    manifest: Manifest
    config: RunConfig
    session: Mapping[str, str]
    rounds: tuple[RoundRow, ...]
    evaluations: tuple[EvaluationRow, ...]
    generic: tuple[EvaluationRow, ...]
    pooled: tuple[PooledRow, ...]
    summary: Summary
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """Party names of the sites that train, as far as the folder tells."""
        from_rounds = tuple(dict.fromkeys(row.site for row in self.rounds))
        named = self.manifest.sites or tuple(self.config.federation.sites or ())
        return self.summary.sites or named or from_rounds

    @property
    def rounds_done(self) -> int:
        """Training rounds of which every pass has been applied somewhere."""
        return max((row.round for row in self.rounds), default=0) // self.summary.passes

    @property
    def unseen(self) -> tuple[str, ...]:
        """Party names of the centres that never train, as far as the folder tells."""
        return self.summary.unseen or self.manifest.unseen


def title_of(party: str) -> str:
    """A party's name as people read it: ``united-kingdom`` gives ``United Kingdom``."""
    return " ".join(word.capitalize() for word in party.split("-") if word)
