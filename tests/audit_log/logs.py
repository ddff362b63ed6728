"""Small logs of known content, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from fedmrg_secure.audit_log import AuditLog, log_origin
from fedmrg_secure.crypto.signing import SigningKey

NOW = datetime(2026, 11, 23, 6, 40, tzinfo=UTC)
FEDERATION = "lungs"


def hash_of(number: int) -> str:
    """32 bytes in hex, different for each number."""
    return number.to_bytes(32, "big").hex()


def write_log(
    folder: Path, party: str, key: SigningKey, events: Iterable[Mapping[str, object]]
) -> None:
    """A log of `events`, signed and closed."""
    with AuditLog.open(folder, log_origin(FEDERATION, party), key, clock=lambda: NOW) as log:
        log.append_all(list(events))  # type: ignore[arg-type]


def some_events(count: int) -> list[Mapping[str, object]]:
    """`count` valid events, all different."""
    return [
        {"type": "round.planned", "round": number, "plan_hash": hash_of(number), "cohort": ["a"]}
        for number in range(count)
    ]
