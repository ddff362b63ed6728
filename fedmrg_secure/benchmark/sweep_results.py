"""What a finished run of a sweep says of itself, from its ``summary.json``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fedmrg_secure.benchmark.tables import ALL, POOLED, TABLES
from fedmrg_secure.core.errors import FedmrgError


class SummaryUnreadable(FedmrgError):
    """A run's summary is not of the form that a finished run leaves."""

    code: ClassVar[str] = "FMRG-8225"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Change(_Part):
    """A figure before and after training."""

    untrained: float
    final: float


class Sent(_Part):
    """Bytes of one site in one training round, and of all in all rounds."""

    bytes_up_per_round_per_site: int
    bytes_down_per_round_per_site: int
    total_bytes: int


class Seconds(_Part):
    """Of the clock since the last start, and by phase over all rounds, mean over sites."""

    total: float
    by_phase: dict[str, float]


class Spent(_Part):
    """What the run has cost one site's units, by the site's ledger."""

    unit: str
    delta: float
    epsilon: float


class RunSummary(_Part):
    """The part of ``summary.json`` that a sweep looks at."""

    rounds: int
    sites: tuple[str, ...]
    unseen: tuple[str, ...]
    untrained: dict[str, dict[str, float]]
    final: dict[str, dict[str, float]]
    mean: dict[str, dict[str, Change]]
    pooled: dict[str, dict[str, Change]]
    communication: Sent
    seconds: Seconds
    privacy: dict[str, Spent] = {}

    def figure(self, table: str, centre: str, metric: str) -> Change | None:
        """A metric before and after training; None where the run has no such figure.

        Args:
            table: one of `TABLES`.
            centre: ``all``, ``pooled`` or a centre's party name.
            metric: its name.
        """
        role = TABLES[table]
        if centre in (ALL, POOLED):
            return (self.mean if centre == ALL else self.pooled).get(role, {}).get(metric)
        if centre not in (self.sites if role == "participating" else self.unseen):
            return None
        before = self.untrained.get(centre, {}).get(metric)
        after = self.final.get(centre, {}).get(metric)
        if before is None or after is None:
            return None
        return Change(untrained=before, final=after)

    @property
    def largest_epsilon(self) -> float | None:
        """Of any site; None for a run without a `privacy` section."""
        return max((each.epsilon for each in self.privacy.values()), default=None)


def read_summary(folder: Path) -> RunSummary:
    """The summary of a finished run.

    Raises:
        SummaryUnreadable: the file is absent or of another form.
    """
    path = folder / "summary.json"
    try:
        return RunSummary.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = f"{place or 'the content'}: {first['msg'].lower()}"
    raise SummaryUnreadable(
        reason,
        hint="remove the run's folder; the same fedmrg sweep then runs it again",
        location=str(path),
    )
