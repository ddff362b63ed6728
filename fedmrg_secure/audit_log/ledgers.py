"""What the logs of a run say of privacy ledgers that did not continue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedmrg_secure.audit_log.recompute import VerifiedLog


@dataclass(frozen=True, slots=True)
class DoubtedLedger:
    """A site's privacy ledger that others did not find to be the one that they knew.

    Attributes:
        site: whose ledger it is.
        round: in which it was shown.
        reason: what was wrong with it, as the log has it.
        noticed_by: whose logs say so, sorted.
    """

    site: str
    round: int
    reason: str
    noticed_by: tuple[str, ...]

    def explain(self) -> str:
        """For people."""
        return (
            f"the privacy ledger that {self.site} showed in round {self.round} does not continue "
            f"the one before ({self.reason}), as {', '.join(self.noticed_by)} logged: it was "
            "restored from a backup or begun anew, or the site does not tell what it has spent"
        )


def doubted_ledgers(logs: Iterable[VerifiedLog]) -> tuple[DoubtedLedger, ...]:
    """Every `ledger.discontinued` of some logs, by round and site."""
    noticed: dict[tuple[int, str, str], set[str]] = {}
    for log in logs:
        for event in log.events:
            if event["type"] == "ledger.discontinued":
                place = (event["round"], event["site"], event["reason"])
                noticed.setdefault(place, set()).add(log.party)
    return tuple(
        DoubtedLedger(site, number, reason, tuple(sorted(parties)))
        for (number, site, reason), parties in sorted(noticed.items())
    )
