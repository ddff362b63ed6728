"""A whole run's logs: compared with each other, whoever rewrites or hides something is named."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fedmrg_secure.audit_log import LogInvalid, verify_run
from fedmrg_secure.audit_log.recompute import verify_log
from fedmrg_secure.audit_log.verify import LogKeys, RunWithoutLogs, find_roster, judge_run
from fedmrg_secure.core.canonical import canonical_json
from fedmrg_secure.crypto.signing import SigningKey
from tests.audit_log.logs import FEDERATION, hash_of, write_log
from tests.core.hostile_json import HOSTILE, with_value

PARTIES = ("coordinator", "italy", "spain")
KEYS = {party: SigningKey.generate(party) for party in PARTIES}
SESSION = {"session_hash": hash_of(1)}

Events = dict[str, list[dict[str, Any]]]


def coordinator_round(number: int) -> list[dict[str, Any]]:
    at = {"round": number}
    return [
        *(
            {"type": "round.announced", "site": s, "state_hash": hash_of(number), **at}
            for s in PARTIES[1:]
        ),
        {
            "type": "round.planned",
            "plan_hash": hash_of(100 + number),
            "base_state_hash": hash_of(number),
            "cohort": ["italy", "spain"],
            **at,
        },
        *(
            {
                "type": "upload.received",
                "site": s,
                "upload_root": upload(s, number),
                "bytes": 9,
                **at,
            }
            for s in PARTIES[1:]
        ),
        {
            "type": "round.aggregated",
            "aggregate_hash": hash_of(200 + number),
            "included": ["italy", "spain"],
            **at,
        },
        *(
            {"type": "round.acknowledged", "site": s, "model_hash": hash_of(number + 1), **at}
            for s in PARTIES[1:]
        ),
        closed(number),
    ]


def site_round(site: str, number: int) -> list[dict[str, Any]]:
    at = {"round": number}
    return [
        {"type": "round.announced", "state_hash": hash_of(number), **at},
        {"type": "round.planned", "plan_hash": hash_of(100 + number), **at},
        {"type": "upload.sent", "upload_root": upload(site, number), **at},
        {
            "type": "aggregate.opened",
            "aggregate_hash": hash_of(200 + number),
            "model_hash": hash_of(number + 1),
            **at,
        },
        {"type": "round.acknowledged", "model_hash": hash_of(number + 1), **at},
        closed(number),
    ]


def closed(number: int) -> dict[str, Any]:
    return {
        "type": "round.closed",
        "round": number,
        "model_hash": hash_of(number + 1),
        "transcript_hash": hash_of(300 + number),
    }


def upload(site: str, number: int) -> str:
    return hash_of(1000 * PARTIES.index(site) + number)


def honest_events() -> Events:
    """What three parties log of a session with two rounds."""
    start = {"type": "process.started"}
    coordinator = [
        {"type": "session.created", "rounds": 2, **SESSION},
        start,
        *({"type": "session.accepted", "site": s, "weight": 5, **SESSION} for s in PARTIES[1:]),
        {"type": "key.published", "epoch": 1, "key_maker": "italy", "key_hash": hash_of(7)},
        *coordinator_round(1),
        *coordinator_round(2),
        {"type": "session.finished", **SESSION},
    ]
    sites = {
        site: [
            start,
            {"type": "session.accepted", **SESSION},
            {"type": "key.received", "epoch": 1, "key_maker": "italy", "key_hash": hash_of(7)},
            *site_round(site, 1),
            *site_round(site, 2),
            {"type": "session.finished", **SESSION},
        ]
        for site in PARTIES[1:]
    }
    return copy.deepcopy({"coordinator": coordinator, **sites})


def write_run(folder: Path, events: Mapping[str, list[dict[str, Any]]]) -> Path:
    for party, own in events.items():
        write_log(folder / "log" / party, party, KEYS[party], own)
    entries = [{"party": p, "signing_key": key.public_key.hex()} for p, key in KEYS.items()]
    roster = canonical_json({"roster": {"federation": FEDERATION, "entries": entries}})
    (folder / "log" / "roster.json").write_bytes(roster)
    return folder


def find(events: list[dict[str, Any]], kind: str, **fields: object) -> int:
    for index, event in enumerate(events):
        if event["type"] == kind and fields.items() <= event.items():
            return index
    raise AssertionError(f"no {kind}")


def blamed(folder: Path, events: Events) -> tuple[str, int | None]:
    write_run(folder, events)
    with pytest.raises(LogInvalid) as caught:
        verify_run(folder)
    return caught.value.party, caught.value.entry


def test_honest_logs_agree(tmp_path: Path) -> None:
    logs = verify_run(write_run(tmp_path, honest_events()))
    assert [log.party for log in logs] == list(PARTIES)
    assert [log.size for log in logs] == [len(honest_events()[party]) for party in PARTIES]


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("round.planned", "plan_hash"),
        ("round.closed", "transcript_hash"),
        ("round.closed", "model_hash"),
        ("session.accepted", "session_hash"),
    ],
)
def test_a_party_that_signed_another_story_is_found(
    tmp_path: Path, party: str, kind: str, field: str
) -> None:
    """Each log is whole in itself; the two stories cannot both be true."""
    events = honest_events()
    index = find(events[party], kind)
    events[party][index][field] = hash_of(999)
    name, entry = blamed(tmp_path, events)
    if party != "coordinator":
        assert (name, entry) == (party, index)
    else:
        assert entry is not None


@pytest.mark.parametrize("site", PARTIES[1:])
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("round.announced", "state_hash"),
        ("upload.sent", "upload_root"),
        ("aggregate.opened", "aggregate_hash"),
        ("round.acknowledged", "model_hash"),
        ("key.received", "key_hash"),
    ],
)
def test_a_site_that_says_it_sent_something_else_is_found(
    tmp_path: Path, site: str, kind: str, field: str
) -> None:
    events = honest_events()
    index = find(events[site], kind)
    events[site][index][field] = hash_of(999)
    assert blamed(tmp_path, events) == (site, index)


def test_an_included_set_told_differently_is_found(tmp_path: Path) -> None:
    events = honest_events()
    opened = events["spain"][find(events["spain"], "aggregate.opened", round=2)]
    opened["included"] = ["spain"]
    name, entry = blamed(tmp_path, events)
    assert (name, entry) == ("spain", find(events["spain"], "aggregate.opened", round=2))


@pytest.mark.parametrize("kept", [5, 9, 12])
def test_a_site_log_cut_back_and_signed_anew_is_found(tmp_path: Path, kept: int) -> None:
    events = honest_events()
    events["spain"] = events["spain"][:kept]
    assert blamed(tmp_path, events) == ("spain", kept)


@pytest.mark.parametrize("lost", ["session.finished", "round.aggregated"])
def test_a_coordinator_log_cut_back_and_signed_anew_is_found(tmp_path: Path, lost: str) -> None:
    events = honest_events()
    kept = find(events["coordinator"], lost)
    events["coordinator"] = events["coordinator"][:kept]
    assert blamed(tmp_path, events) == ("coordinator", kept)


def test_a_hidden_upload_is_found(tmp_path: Path) -> None:
    events = honest_events()
    del events["italy"][find(events["italy"], "upload.sent", round=2)]
    name, _ = blamed(tmp_path, events)
    assert name == "italy"


def test_a_site_that_was_killed_may_lack_what_it_had_no_time_to_log(tmp_path: Path) -> None:
    events = honest_events()
    del events["italy"][find(events["italy"], "upload.sent", round=1)]
    events["italy"].insert(6, {"type": "process.started"})
    verify_run(write_run(tmp_path / "restarted", events))
    events = honest_events()
    events["spain"] = events["spain"][:6]
    events["coordinator"].insert(-1, {"type": "site.lost", "site": "spain"})
    verify_run(write_run(tmp_path / "lost", events))


def test_only_a_site_that_may_have_been_killed_may_end_in_a_torn_line(tmp_path: Path) -> None:
    for known, folder in ((case, tmp_path / case) for case in ("", "lost", "session not ended")):
        events = {**honest_events(), "spain": honest_events()["spain"][:6]}
        if known == "lost":
            events["coordinator"].insert(-1, {"type": "site.lost", "site": "spain"})
        elif known:
            events = {name: events[name][: -1 if name != "spain" else None] for name in events}
        log = write_run(folder, events) / "log" / "spain"
        (log / "checkpoint").unlink()
        notes = (log / "checkpoints.jsonl").read_bytes().splitlines(keepends=True)
        (log / "checkpoints.jsonl").write_bytes(b"".join(notes[:5]) + notes[5][:40])
        with (log / "entries.jsonl").open("ab") as stream:
            stream.write(b'{"round":2,"se')
        if known:
            spain = verify_run(folder)[2]
            assert (spain.size, spain.unsigned) == (6, 1)
            (log / "checkpoints.jsonl").write_bytes(b"".join(notes[:4]))
        with pytest.raises(LogInvalid) as caught:
            verify_run(folder)
        assert (caught.value.party, caught.value.entry) == ("spain", 5)


def test_a_failed_session_owes_nothing(tmp_path: Path) -> None:
    events = honest_events()
    events["coordinator"][-1] = {"type": "session.failed", "reason": "too-few-sites", **SESSION}
    for site in PARTIES[1:]:
        events[site] = events[site][:8]
    verify_run(write_run(tmp_path, events))


@pytest.mark.parametrize("party", PARTIES)
def test_a_missing_log_is_named(tmp_path: Path, party: str) -> None:
    write_run(tmp_path, honest_events())
    shutil.rmtree(tmp_path / "log" / party)
    with pytest.raises(LogInvalid, match="no log") as caught:
        verify_run(tmp_path)
    assert (caught.value.party, caught.value.entry) == (party, None)


def test_a_log_of_a_stranger_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, honest_events())
    write_log(tmp_path / "log" / "france", "france", SigningKey.generate("france"), [])
    shutil.copytree(tmp_path / "log" / "spain", tmp_path / "log" / "france", dirs_exist_ok=True)
    with pytest.raises(LogInvalid, match="no such party") as caught:
        verify_run(tmp_path)
    assert caught.value.party == "france"


def seen(events: Events, tmp_path: Path, by: str, peer: str, size: int) -> None:
    """`by` logs the head that `peer`'s log had after `size` entries."""
    write_log(tmp_path / "scratch", peer, KEYS[peer], events[peer])
    roots = verify_log(
        tmp_path / "scratch", peer, f"fedmrg/{FEDERATION}/{peer}", KEYS[peer].public_key
    ).roots
    head = {"peer": peer, "peer_log_size": size, "peer_log_root": roots[size].hex()}
    events[by].insert(1, {"type": "process.started", **head})


def test_a_head_seen_by_a_peer_convicts_a_fork(tmp_path: Path) -> None:
    events = honest_events()
    seen(events, tmp_path, "italy", "coordinator", 6)
    verify_run(write_run(tmp_path / "honest", events))
    events["coordinator"][0]["rounds"] = 3
    name, entry = blamed(tmp_path / "forked", events)
    assert (name, entry) == ("coordinator", 5)
    events["coordinator"] = events["coordinator"][:4]
    for site in PARTIES[1:]:
        events[site] = events[site][:3]
    assert blamed(tmp_path / "cut", events) == ("coordinator", 4)


def test_every_party_gets_a_verdict(tmp_path: Path) -> None:
    write_run(tmp_path, honest_events())
    entries = tmp_path / "log" / "italy" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"round":2', b'"round":1', 1))
    keys = LogKeys(FEDERATION, {party: key.public_key for party, key in KEYS.items()})
    verdicts = {verdict.party: verdict for verdict in judge_run(tmp_path, keys)}
    assert verdicts["spain"].problem is None
    assert verdicts["coordinator"].log is not None
    problem = verdicts["italy"].problem
    assert problem is not None
    assert problem.entry == find(honest_events()["italy"], "round.announced", round=2)


def test_pinned_keys_beat_a_replaced_roster(tmp_path: Path) -> None:
    """Somebody replaced all logs and the roster by a set of their own."""
    write_run(tmp_path, honest_events())
    verify_run(tmp_path)
    pinned = LogKeys(FEDERATION, {p: SigningKey.generate(p).public_key for p in PARTIES})
    with pytest.raises(LogInvalid) as caught:
        verify_run(tmp_path, pinned)
    assert (caught.value.party, caught.value.entry) == ("coordinator", 0)


def test_logs_are_also_found_where_the_parties_write_them(tmp_path: Path) -> None:
    write_run(tmp_path, honest_events())
    moved = tmp_path / "moved"
    for party in PARTIES:
        home = moved / "coordinator" if party == "coordinator" else moved / "sites" / party
        shutil.copytree(tmp_path / "log" / party, home / "log")
    (moved / "coordinator" / "kit").mkdir()
    shutil.copy(tmp_path / "log" / "roster.json", moved / "coordinator" / "kit")
    assert [log.party for log in verify_run(moved)] == list(PARTIES)


def with_homes(run: Path) -> Path:
    """The run with the logs where the parties write them, too."""
    for party in PARTIES:
        home = run / "coordinator" if party == "coordinator" else run / "sites" / party
        shutil.copytree(run / "log" / party, home / "log")
    return run


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("place", ["log/{}", "{}/log", "sites/{}/log"])
def test_every_copy_of_a_log_is_checked(tmp_path: Path, party: str, place: str) -> None:
    verify_run(with_homes(write_run(tmp_path, honest_events())))
    entries = tmp_path / place.format(party) / "entries.jsonl"
    if not entries.exists():
        return
    entries.write_bytes(entries.read_bytes().replace(b'"round":2', b'"round":5', 1))
    with pytest.raises(LogInvalid) as caught:
        verify_run(tmp_path)
    assert caught.value.party == party
    assert caught.value.location == str(entries.parent)


def test_a_copy_may_be_older_but_not_different(tmp_path: Path) -> None:
    run = with_homes(write_run(tmp_path, honest_events()))
    shutil.rmtree(run / "log" / "spain")
    write_log(run / "log" / "spain", "spain", KEYS["spain"], honest_events()["spain"][:4])
    assert verify_run(run)[2].size == len(honest_events()["spain"])
    shutil.rmtree(run / "log" / "spain")
    other = honest_events()["spain"][:4]
    other[2]["epoch"] = 2
    write_log(run / "log" / "spain", "spain", KEYS["spain"], other)
    with pytest.raises(LogInvalid, match="fork") as caught:
        verify_run(run)
    assert (caught.value.party, caught.value.entry) == ("spain", 2)


@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl"])
def test_a_log_whose_file_is_gone_is_named(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, honest_events())
    (tmp_path / "log" / "italy" / name).unlink()
    with pytest.raises(LogInvalid) as caught:
        verify_run(tmp_path)
    assert (caught.value.party, caught.value.entry) == ("italy", 0)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda roster: roster.unlink(),
        lambda roster: roster.write_bytes(b"{}"),
        lambda roster: roster.write_bytes(b"\xff"),
        lambda roster: roster.write_bytes(b'{"roster":{"federation":"x","entries":[1]}}'),
    ],
)
def test_a_run_without_a_roster_cannot_be_checked(
    tmp_path: Path, break_it: Callable[[Path], None]
) -> None:
    write_run(tmp_path, honest_events())
    break_it(find_roster(tmp_path))
    with pytest.raises(RunWithoutLogs):
        verify_run(tmp_path)


@pytest.mark.parametrize("key", ["roster", "extra"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_that_nobody_signs_states_no_keys(key: str, text: str) -> None:
    for file in (text.encode(), with_value({"roster": {}}, key, text)):
        with pytest.raises(RunWithoutLogs):
            LogKeys.stated_by(file)
