"""Checking a run's tamper-evident logs for its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedmrg_secure.audit_log.verify import RunWithoutLogs, verify_run
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.reports.run import LogHead


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What checking the logs gave.

    Attributes:
        verdict: ``whole``: every log is whole and they agree; ``bad``: `problem` says what is not;
            ``absent``: the folder holds no logs.
        heads: of whole logs, the coordinator's first.
        problem: the party, the first bad entry and the reason; empty unless ``bad``.
    """

    verdict: Literal["whole", "bad", "absent"]
    heads: tuple[LogHead, ...] = ()
    problem: str = ""


def check_logs(root: Path) -> LogCheck:
    """Verify every party's log of a run's folder, offline; never raises for a bad log."""
    try:
        logs = verify_run(root)
    except RunWithoutLogs:
        return LogCheck("absent")
    except (FedmrgError, OSError) as error:
        return LogCheck("bad", problem=str(error))
    return LogCheck("whole", tuple(LogHead(log.party, log.size, log.root_hex) for log in logs))
