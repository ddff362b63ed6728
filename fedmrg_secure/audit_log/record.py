"""What may stand in the log: which events, which fields, and of which form.

A log is kept for years and handed to auditors, so nothing of a patient may slip in: no floats, no
paths, no free text. Every field's name is listed here with the only form its value may have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from fedmrg_secure.core.canonical import JsonValue, canonical_json
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "process.started": (),
    "session.created": (),
    "session.accepted": (),
    "session.finished": (),
    "session.failed": ("reason",),
    "key.published": ("epoch",),
    "key.received": ("epoch",),
    "round.announced": ("round",),
    "round.planned": ("round",),
    "round.committed": ("round", "upload_root"),
    "cohort.signed": ("round", "cohort_hash"),
    "cohort.certified": ("round", "cohort_hash", "sites"),
    "upload.sent": ("round",),
    "upload.received": ("round", "site"),
    "inclusion.signed": ("round", "inclusion_hash"),
    "inclusion.certified": ("round", "inclusion_hash", "included"),
    "share_sums.published": ("round", "inclusion_hash"),
    "share_sums.wrong": ("round", "sites"),
    "share_sums.inconsistent": ("round",),
    "round.aggregated": ("round",),
    "aggregate.opened": ("round",),
    "round.acknowledged": ("round",),
    "round.closed": ("round",),
    "round.aborted": ("round", "reason"),
    "snapshot.requested": ("round",),
    "snapshot.sealed": ("round", "recipient", "model_hash", "snapshot_root"),
    "snapshot.offered": ("round", "sender", "recipient", "model_hash", "snapshot_root"),
    "snapshot.applied": ("round", "sender", "model_hash", "transcript_hash", "snapshot_root"),
    "snapshot.accepted": ("round", "sender", "recipient"),
    "snapshot.refused": ("round", "sender", "code"),
    "ledger.reserved": ("round", "ledger_hash", "ledger_entries"),
    "ledger.settled": ("round", "ledger_hash", "ledger_entries"),
    "ledger.exhausted": ("round",),
    "ledger.discontinued": ("round", "site", "reason"),
    "ledger.unproven": ("round", "sites"),
    "ledger.missing": ("round", "sites"),
    "site.lost": ("site",),
}
"""Every type of event and the fields that it must have; other known fields may be added."""

_PARTY: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PARTY_FIELDS: Final = frozenset({"site", "party", "peer", "key_maker", "sender", "recipient"})
_PARTIES_FIELDS: Final = frozenset({"sites", "cohort", "included", "excluded", "lost", "expected"})
_COUNT_FIELDS: Final = frozenset(
    {
        *("round", "rounds", "epoch", "roster_epoch", "attempt", "last_round"),
        *("chunks", "bytes", "values", "uploads", "count", "site_count"),
        *("min_sites", "rotate_after", "peer_log_size", "log_size", "ledger_entries"),
    }
)
_CODE_FIELDS: Final = frozenset({"reason", "code", "scheme", "phase", "role", "outcome"})
_VERSION_FIELDS: Final = frozenset({"version", "software"})
_RATIO_FIELDS: Final = frozenset({"weight", "total_weight"})
_FLAG_FIELDS: Final = frozenset({"resumed"})
_HASH_FIELD: Final = re.compile(r"(?:[a-z]+_){0,3}(?:hash|root|digest)")
_LARGEST_COUNT: Final = 2**53 - 1
_MOST_PARTIES: Final = 100_000


class EventRefused(FedmrgError):
    """An event is not of the log's vocabulary."""

    code: ClassVar[str] = "FMRG-7011"


def check_event(event: Mapping[str, JsonValue]) -> None:
    """Return if an event, without ``seq`` and ``time``, may be logged.

    Args:
        event: ``type`` is one of `EVENTS`. By name, a field is a party's name (``site``...), a
            list of them (``sites``, ``included``...), an integer in [0, 2^53) (``round``,
            ``bytes``...), 32 bytes in hex (``*_hash``, ``*_root``, ``*_digest``), a code
            (``reason``...: ``FMRG-1234`` or lower-case words joined by ``-._``), a version, a
            fraction such as ``3/7`` (``weight``), or true or false (``resumed``).

    Raises:
        EventRefused: unknown type or field, a missing field, or a value of another form.
    """
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in EVENTS:
        raise EventRefused(f"{kind!r} is no type of event", hint=f"known: {', '.join(EVENTS)}")
    missing = [field for field in EVENTS[kind] if field not in event]
    if missing:
        raise EventRefused(f"a {kind} event lacks {', '.join(missing)}")
    for field, value in event.items():
        if field != "type" and not _form_of(field)(value):
            raise EventRefused(f"the value of {field} in a {kind} event is not of its form")


def encode_entry(event: Mapping[str, JsonValue], seq: int, time: datetime) -> bytes:
    """One line of the log without its newline: RFC 8785 JSON, which is also the Merkle leaf.

    Args:
        event: see `check_event`.
        seq: the entry's number, from 0.
        time: aware, UTC; kept to the second.

    Raises:
        EventRefused: see `check_event`.
    """
    check_event(event)
    return canonical_json({**event, "seq": seq, "time": f"{time:%Y-%m-%dT%H:%M:%SZ}"})


def decode_entry(line: bytes, seq: int) -> Mapping[str, Any]:
    """The event in one line, with ``seq`` and ``time``.

    Raises:
        EventRefused: not the canonical form of a valid event, or not numbered `seq`.
    """
    try:
        entry: dict[str, Any] = read_json(line)
    except JsonRefused as error:
        raise EventRefused(f"it {error}") from None
    if not isinstance(entry, dict) or canonical_json(entry) != line:
        raise EventRefused("it is not canonical JSON")
    if entry.get("seq") != seq or isinstance(entry.get("seq"), bool):
        raise EventRefused(f"it is numbered {entry.get('seq')!r}")
    if not _is_time(entry.get("time")):
        raise EventRefused("its time is not of the form 2026-01-31T23:59:59Z")
    check_event({field: value for field, value in entry.items() if field not in ("seq", "time")})
    return entry


def _form_of(field: str) -> Callable[[JsonValue], bool]:
    if field in _PARTY_FIELDS:
        return _matches(_PARTY)
    if field in _PARTIES_FIELDS:
        return _are_parties
    if field in _COUNT_FIELDS:
        return _is_count
    if field in _CODE_FIELDS:
        return _matches(r"FMRG-[0-9]{4}|[a-z][a-z0-9]*(?:[-._][a-z0-9]+){0,7}")
    if field in _VERSION_FIELDS:
        return _matches(r"[0-9][0-9A-Za-z.+-]{0,31}")
    if field in _RATIO_FIELDS:
        return _is_ratio
    if field in _FLAG_FIELDS:
        return lambda value: isinstance(value, bool)
    if field == "session":
        return _matches(r"[0-9a-f]{32}|[0-9a-f]{64}")
    if _HASH_FIELD.fullmatch(field):
        return _matches(r"[0-9a-f]{64}")
    raise EventRefused(
        f"{field!r} is no field of the log",
        hint="fields, with the form of each, are listed in fedmrg_secure/audit_log/record.py",
    )


def _matches(pattern: str) -> Callable[[JsonValue], bool]:
    def check(value: JsonValue) -> bool:
        return isinstance(value, str) and len(value) <= 64 and bool(re.fullmatch(pattern, value))

    return check


def _is_count(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT


def _is_ratio(value: JsonValue) -> bool:
    return _is_count(value) or _matches(r"[0-9]{1,18}(?:/[1-9][0-9]{0,17})?")(value)


def _are_parties(value: JsonValue) -> bool:
    if not isinstance(value, list | tuple) or len(value) > _MOST_PARTIES:
        return False
    return all(_matches(_PARTY)(name) for name in value)


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or len(value) != len("2026-01-31T23:59:59Z"):
        return False
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return False
    return True
