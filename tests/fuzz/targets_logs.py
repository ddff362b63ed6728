"""Parsers of other parties' logs: entries, checkpoints, and what a run's logs say together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st

from fedmrg_secure.audit_log.checkpoint import (
    Checkpoint,
    log_origin,
    read_checkpoint,
    sign_checkpoint,
)
from fedmrg_secure.audit_log.files import CHECKPOINTS_FILE, ENTRIES_FILE
from fedmrg_secure.audit_log.ledgers import doubted_ledgers
from fedmrg_secure.audit_log.recompute import verify_log
from fedmrg_secure.audit_log.record import decode_entry
from fedmrg_secure.audit_log.verify import LogKeys, judge_run
from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.core.foreign_json import read_json
from fedmrg_secure.core.merkle import MerkleRange, leaf_hash
from fedmrg_secure.crypto.signing import SigningKey
from tests.audit_log.logs import FEDERATION
from tests.audit_log.test_verify import KEYS, honest_events
from tests.fuzz.mutate import mutate, mutate_json, mutate_lines
from tests.fuzz.target import Target

_JSON = (mutate, mutate_json)
_TIME = "2026-01-02T03:04:05Z"


def targets() -> Iterator[Target]:
    """All of this module."""
    key = SigningKey.generate("alpha")
    origin = log_origin(FEDERATION, "alpha")
    note = sign_checkpoint(Checkpoint(origin, 7, bytes(32)), key).encode()
    yield Target(
        "checkpoint",
        st.just(note),
        lambda data: read_checkpoint(
            data.decode("utf-8", "surrogateescape"), origin, key.public_key
        ),
    )
    entry = canonical_json(_numbered([{"type": "round.announced", "round": 4}], first=3)[0])
    yield Target("log entry", st.just(entry), lambda data: decode_entry(data, 3), _JSON)
    yield _checkpoint_lines()
    yield _stated_keys()
    yield _logs_of_a_run()


def _checkpoint_lines() -> Target:
    """The file of a whole log's checkpoints, beside sound entries."""
    party, events = "italy", honest_events()["italy"][:5]
    home = TemporaryDirectory(prefix="fedmrg-fuzz-")
    folder = Path(home.name)
    _write_log(folder, party, events)
    sound = (folder / CHECKPOINTS_FILE).read_bytes()

    def parse(data: bytes) -> object:
        path = Path(home.name) / CHECKPOINTS_FILE
        path.write_bytes(data)
        return verify_log(path.parent, party, log_origin(FEDERATION, party), KEYS[party].public_key)

    return Target("checkpoints of a log", st.just(sound), parse, (mutate, mutate_lines))


def _stated_keys() -> Target:
    """The roster file that lies beside a run's logs, and what checking them makes of it."""
    home = TemporaryDirectory(prefix="fedmrg-fuzz-")
    for party, events in honest_events().items():
        _write_log(Path(home.name) / "log" / party, party, events[:3])
    entries = [{"party": p, "signing_key": key.public_key.hex()} for p, key in KEYS.items()]
    sound = canonical_json({"roster": {"federation": FEDERATION, "entries": entries}})
    return Target(
        "keys that a run states",
        st.just(sound),
        lambda data: judge_run(Path(home.name), LogKeys.stated_by(data)),
        _JSON,
    )


def _logs_of_a_run() -> Target:
    """Every party signs whatever it pleases, and the logs are compared."""
    home = TemporaryDirectory(prefix="fedmrg-fuzz-")
    keys = LogKeys(FEDERATION, {party: key.public_key for party, key in KEYS.items()})
    sound = json.dumps({party: _numbered(own) for party, own in honest_events().items()}).encode()

    def parse(data: bytes) -> object:
        run = read_json(data)
        for party in KEYS:
            events = run.get(party) if isinstance(run, dict) else None
            _write_log(Path(home.name) / "log" / party, party, events or [])
        verdicts = judge_run(Path(home.name), keys)
        for verdict in verdicts:
            if verdict.problem is not None:
                raise verdict.problem
        return doubted_ledgers([verdict.log for verdict in verdicts if verdict.log is not None])

    return Target("logs of a run", st.just(sound), parse, (mutate_json,))


def _numbered(events: list[dict[str, object]], first: int = 0) -> list[dict[str, object]]:
    return [{**event, "seq": seq, "time": _TIME} for seq, event in enumerate(events, first)]


def _write_log(folder: Path, party: str, events: object) -> None:
    """The files of a log whose party signs any JSON at all."""
    whole = events if isinstance(events, list) else [events]
    if whole and isinstance(whole[0], Mapping) and "seq" not in whole[0]:
        whole = _numbered(whole)
    folder.mkdir(parents=True, exist_ok=True)
    tree, origin, notes = MerkleRange(), log_origin(FEDERATION, party), []
    lines = [canonical_json(event) for event in whole]
    for line in lines:
        tree.append(leaf_hash(line))
        note = sign_checkpoint(Checkpoint(origin, tree.size, tree.root()), KEYS[party])
        notes.append(json.dumps(note).encode())
    (folder / ENTRIES_FILE).write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / CHECKPOINTS_FILE).write_bytes(b"".join(note + b"\n" for note in notes))
