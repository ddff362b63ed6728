"""Comparing the logs of one run: parties that saw the same thing must have written the same.

A party that rewrites its own log can sign the new version, but not what the others wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fedmrg_secure.audit_log.recompute import LogInvalid, VerifiedLog
from fedmrg_secure.core.types import COORDINATOR

_ROUND_FACTS: Final = (
    "plan_hash",
    "base_state_hash",
    "cohort_hash",
    "inclusion_hash",
    "aggregate_hash",
    "aggregate_root",
    "transcript_hash",
    "included",
)
"""Said by several parties of one round, and the same for all of them."""

_SESSION_FACTS: Final = ("session", "session_hash", "manifest_hash")

_RECEIPTS: Final = {
    "upload.received": "upload.sent",
    "round.announced": "round.announced",
    "round.committed": "round.committed",
    "cohort.signed": "cohort.signed",
    "inclusion.signed": "inclusion.signed",
    "share_sums.published": "share_sums.published",
    "round.acknowledged": "round.acknowledged",
    "snapshot.requested": "snapshot.requested",
}
"""What the coordinator logs of a site, and what that site logged of it."""

_OWED_RECEIPTS: Final = frozenset(
    {"round.committed", "upload.received", "inclusion.signed", "round.acknowledged"}
)
"""Receipts whose counterpart a site that was never restarted must have."""

_OWED_BY_COORDINATOR: Final = {
    "share_sums.published": "inclusion.certified",
    "aggregate.opened": "round.aggregated",
    "session.finished": "session.finished",
}
"""What a site can only have seen after the coordinator logged its counterpart."""


def cross_check(logs: Mapping[str, VerifiedLog]) -> None:
    """Return if the logs of a run agree, else raise.

    Args:
        logs: by party, each verified by itself; the coordinator's is among them.

    Raises:
        LogInvalid: naming the first entry that another party's log contradicts, or the log that
            lacks what another party received from it.
    """
    coordinator = logs[COORDINATOR]
    accepted = [e.get("site") for e in coordinator.events if e["type"] == "session.accepted"]
    for site in accepted:
        if site is not None and site not in logs:
            raise LogInvalid(site, None, "there is no log, but the coordinator accepted this site")
    _check_facts(logs)
    _check_models(logs)
    _check_commitments(logs)
    _check_snapshots(logs)
    _check_ledgers(logs)
    for site, log in logs.items():
        if site != COORDINATOR:
            _check_coordinator(coordinator, log)
            _check_receipts(coordinator, log)
    _check_heads(logs)


def _check_facts(logs: Mapping[str, VerifiedLog]) -> None:
    """Facts of rounds, sessions and keys, each compared with whoever said it first."""
    said: dict[tuple[object, ...], tuple[str, Any]] = {}
    for party, event, about, fact in _facts(logs):
        value = tuple(event[fact]) if isinstance(event[fact], list) else event[fact]
        first, other = said.setdefault((*about, fact), (party, value))
        if other != value:
            raise LogInvalid(
                party,
                event["seq"],
                f"its {fact} is not what {first} logged for the same {about[0]}",
            )


def _facts(
    logs: Mapping[str, VerifiedLog],
) -> Iterator[tuple[str, Mapping[str, Any], tuple[object, ...], str]]:
    for party in _coordinator_first(logs):
        for event in logs[party].events:
            kind = event["type"]
            for fact in _SESSION_FACTS:
                if fact in event:
                    yield party, event, ("session",), fact
            for fact in _ROUND_FACTS:
                if fact in event and "round" in event:
                    yield party, event, ("round", event["round"]), fact
            if kind in ("key.published", "key.received") and "key_hash" in event:
                yield party, event, ("key", event["epoch"]), "key_hash"


def _check_models(logs: Mapping[str, VerifiedLog]) -> None:
    """In a round that was closed everybody ended with one model."""
    models = {
        event["round"]: event["model_hash"]
        for event in logs[COORDINATOR].events
        if event["type"] == "round.closed" and "model_hash" in event
    }
    for party in _coordinator_first(logs):
        for event in logs[party].events:
            if "model_hash" not in event or "round" not in event:
                continue
            if models.get(event["round"], event["model_hash"]) != event["model_hash"]:
                raise LogInvalid(
                    party, event["seq"], "its model_hash is not that of the closed round"
                )


def _check_commitments(logs: Mapping[str, VerifiedLog]) -> None:
    """What was uploaded is what its site had committed to, where it had to commit."""
    for party in _coordinator_first(logs):
        committed: dict[tuple[object, object], str] = {}
        for event in logs[party].events:
            kind, place = event["type"], (event.get("site", party), event.get("round"))
            if kind == "round.committed":
                committed[place] = event["upload_root"]
            elif kind in ("upload.sent", "upload.received"):
                root = event.get("upload_root")
                if root is not None and committed.get(place, root) != root:
                    raise LogInvalid(
                        party, event["seq"], f"its upload_root is not what {place[0]} committed to"
                    )


def _check_ledgers(logs: Mapping[str, VerifiedLog]) -> None:
    """Who says that a site's privacy ledger does not continue says it of what that site showed."""
    shown = {
        (event["site"], event["round"]): event.get("ledger_hash")
        for event in logs[COORDINATOR].events
        if event["type"] == "round.committed" and "site" in event
    }
    for party in _coordinator_first(logs):
        for event in logs[party].events:
            if event["type"] != "ledger.discontinued":
                continue
            site, number = event["site"], event["round"]
            if (site, number) not in shown or shown[site, number] != event.get("ledger_hash"):
                raise LogInvalid(
                    party, event["seq"], f"{site} has not shown this ledger in round {number}"
                )


def _check_snapshots(logs: Mapping[str, VerifiedLog]) -> None:
    """A snapshot is the same for who sealed it, who carried it and who applied it."""
    offered = {
        (event["sender"], event["recipient"], event["round"], event["snapshot_root"]): event["seq"]
        for event in logs[COORDINATOR].events
        if event["type"] == "snapshot.offered"
    }
    sealed = {
        (party, event["recipient"], event["round"], event["snapshot_root"])
        for party in logs
        for event in logs[party].events
        if event["type"] == "snapshot.sealed"
    }
    for place, seq in offered.items():
        if place[0] in logs and place not in sealed:
            raise LogInvalid(
                COORDINATOR, seq, f"{place[0]} did not log that it sealed this snapshot"
            )
    for party, log in logs.items():
        for event in log.events:
            if event["type"] != "snapshot.applied":
                continue
            place = (event["sender"], party, event["round"], event["snapshot_root"])
            if place not in offered:
                raise LogInvalid(
                    party, event["seq"], "the coordinator did not log that it carried this snapshot"
                )


def _check_receipts(coordinator: VerifiedLog, site: VerifiedLog) -> None:
    """What the coordinator received from a site, that site must have logged alike."""
    sent = {(event["type"], event["round"]): event for event in site.events if "round" in event}
    complete = _is_complete(coordinator, site)
    for receipt in coordinator.events:
        if receipt.get("site") != site.party or receipt["type"] not in _RECEIPTS:
            continue
        number = receipt["round"]
        origin = sent.get((_RECEIPTS[receipt["type"]], number))
        if origin is None:
            if complete and receipt["type"] in _OWED_RECEIPTS:
                what = f"the coordinator logged {receipt['type']} of round {number} from this site"
                raise LogInvalid(site.party, site.size, f"it is missing: {what}")
            continue
        for fact in sorted(origin.keys() & receipt.keys() - {"type", "seq", "time", "site"}):
            if origin[fact] != receipt[fact]:
                raise LogInvalid(
                    site.party,
                    origin["seq"],
                    f"its {fact} is not what the coordinator received in round {number}",
                )
    if complete and not any(event["type"] == "session.finished" for event in site.events):
        raise LogInvalid(site.party, site.size, "it is missing: the session has finished since")


def _is_complete(coordinator: VerifiedLog, site: VerifiedLog) -> bool:
    """Whether the session ended well and this site ran through it, so that its log is complete.

    A site that was killed may have sent what it had no time to log.
    """
    kinds = {event["type"] for event in coordinator.events}
    lost = {event["site"] for event in coordinator.events if event["type"] == "site.lost"}
    starts = sum(event["type"] == "process.started" for event in site.events)
    return "session.finished" in kinds and site.party not in lost and starts < 2 and not site.live


def _check_coordinator(coordinator: VerifiedLog, site: VerifiedLog) -> None:
    """What a site received from the coordinator, the coordinator must have logged before."""
    logged = {(event["type"], event.get("round")) for event in coordinator.events}
    for event in site.events:
        owed = _OWED_BY_COORDINATOR.get(event["type"])
        if owed is not None and (owed, event.get("round")) not in logged:
            raise LogInvalid(
                COORDINATOR,
                coordinator.size,
                f"it is missing: {site.party} logged {event['type']}, which {owed} precedes",
            )


def _check_heads(logs: Mapping[str, VerifiedLog]) -> None:
    """A head of a peer's log that a party has seen must still be a prefix of that log."""
    for party in _coordinator_first(logs):
        for event in logs[party].events:
            peer, size = event.get("peer"), event.get("peer_log_size")
            if not isinstance(peer, str) or peer not in logs or size is None:
                continue
            log = logs[peer]
            if size > log.size:
                raise LogInvalid(peer, log.size, f"it is missing: {party} has seen {size} entries")
            if log.roots[size].hex() != event.get("peer_log_root"):
                raise LogInvalid(
                    peer,
                    max(size - 1, 0),
                    f"it or one before differs from what {party} saw: a fork",
                )


def _coordinator_first(logs: Mapping[str, VerifiedLog]) -> Iterable[str]:
    return sorted(logs, key=lambda party: (party != COORDINATOR, party))
