"""Three logs that saw one snapshot, compared: who tells another story is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.audit_log import verify_run
from fedmrg_secure.audit_log.record import EventRefused, check_event
from tests.audit_log.logs import hash_of
from tests.audit_log.test_verify import Events, blamed, find, honest_events, write_run

ROOT = {"round": 1, "snapshot_root": hash_of(900)}
MODEL = {"model_hash": hash_of(2)}
BOTH = {"sender": "italy", "recipient": "spain"}


def events_with_a_snapshot() -> Events:
    """The honest session of `test_verify`; spain comes back after its first round."""
    events = honest_events()
    transcript = {"transcript_hash": _closed(events["coordinator"])["transcript_hash"]}
    more: dict[str, list[dict[str, Any]]] = {
        "coordinator": [
            {"type": "snapshot.requested", "round": 1, "site": "spain"},
            {"type": "snapshot.offered", "bytes": 9, **ROOT, **MODEL, **BOTH},
            {"type": "snapshot.accepted", "round": 1, **BOTH},
        ],
        "italy": [{"type": "snapshot.sealed", "recipient": "spain", **ROOT, **MODEL}],
        "spain": [
            {"type": "snapshot.requested", "round": 1},
            {"type": "snapshot.applied", "sender": "italy", **ROOT, **MODEL, **transcript},
        ],
    }
    for party, added in more.items():
        place = find(events[party], "round.announced", round=2)
        events[party][place:place] = added
    return events


def _closed(events: list[dict[str, Any]]) -> dict[str, Any]:
    return events[find(events, "round.closed", round=1)]


def test_honest_logs_of_a_snapshot_agree(tmp_path: Path) -> None:
    assert len(verify_run(write_run(tmp_path, events_with_a_snapshot()))) == 3


@pytest.mark.parametrize(
    ("party", "kind", "change", "blames"),
    [
        ("spain", "snapshot.applied", MODEL | {"model_hash": hash_of(9)}, "spain"),
        ("spain", "snapshot.applied", {"transcript_hash": hash_of(9)}, "spain"),
        ("spain", "snapshot.applied", {"snapshot_root": hash_of(9)}, "spain"),
        ("spain", "snapshot.applied", {"sender": "spain"}, "spain"),
        ("italy", "snapshot.sealed", {"snapshot_root": hash_of(9)}, "coordinator"),
        ("italy", "snapshot.sealed", {"recipient": "italy"}, "coordinator"),
        ("italy", "snapshot.sealed", {"model_hash": hash_of(9)}, "italy"),
        ("coordinator", "snapshot.offered", {"snapshot_root": hash_of(9)}, "coordinator"),
    ],
)
def test_who_says_something_else_is_named(
    tmp_path: Path, party: str, kind: str, change: dict[str, str], blames: str
) -> None:
    events = events_with_a_snapshot()
    events[party][find(events[party], kind)].update(change)
    assert blamed(tmp_path, events)[0] == blames


@pytest.mark.parametrize(
    ("party", "kind", "blames"),
    [
        ("italy", "snapshot.sealed", "coordinator"),
        ("coordinator", "snapshot.offered", "spain"),
    ],
)
def test_a_hidden_step_is_found(tmp_path: Path, party: str, kind: str, blames: str) -> None:
    events = events_with_a_snapshot()
    del events[party][find(events[party], kind)]
    assert blamed(tmp_path, events)[0] == blames


def test_a_refusal_names_sender_and_code() -> None:
    check_event({"type": "snapshot.refused", "round": 1, "sender": "italy", "code": "FMRG-6261"})
    with pytest.raises(EventRefused):
        check_event({"type": "snapshot.refused", "round": 1, "code": "FMRG-6261"})
    with pytest.raises(EventRefused):
        check_event(
            {"type": "snapshot.refused", "round": 1, "sender": "italy", "code": "it is wrong"}
        )
