"""The log's vocabulary: what may be written, and what may never slip in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.audit_log.record import (
    EVENTS,
    EventRefused,
    check_event,
    decode_entry,
    encode_entry,
)

HASH = "ab" * 32
NOW = datetime(2026, 11, 23, 6, 40, 1, 999_999, tzinfo=UTC)

VALID = [
    {"type": "process.started", "role": "coordinator", "software": "0.1.0", "resumed": True},
    {"type": "session.created", "session_hash": HASH, "sites": ["a", "b"], "scheme": "ckks-shared"},
    {"type": "session.accepted", "site": "spain", "weight": 12},
    {"type": "session.accepted", "site": "spain", "weight": "3/7"},
    {"type": "session.failed", "reason": "too-few-sites"},
    {"type": "session.failed", "reason": "FMRG-5012"},
    {"type": "key.received", "epoch": 1, "key_maker": "spain", "key_hash": HASH},
    {"type": "round.planned", "round": 3, "plan_hash": HASH, "base_state_hash": HASH, "cohort": []},
    {"type": "round.committed", "round": 1, "site": "a", "upload_root": HASH},
    {"type": "cohort.signed", "round": 1, "site": "a", "cohort_hash": HASH},
    {"type": "cohort.certified", "round": 1, "cohort_hash": HASH, "sites": ["a", "b"]},
    {"type": "inclusion.signed", "round": 1, "inclusion_hash": HASH},
    {"type": "inclusion.certified", "round": 1, "inclusion_hash": HASH, "included": ["a"]},
    {"type": "share_sums.published", "round": 1, "site": "a", "inclusion_hash": HASH},
    {"type": "share_sums.wrong", "round": 1, "sites": ["a"]},
    {"type": "share_sums.inconsistent", "round": 1},
    {"type": "upload.received", "round": 1, "site": "a", "upload_root": HASH, "bytes": 2**53 - 1},
    {"type": "round.closed", "round": 1, "transcript_hash": HASH, "layout_digest": HASH},
    {"type": "site.lost", "site": "united-kingdom"},
]


@pytest.mark.parametrize("event", VALID)
def test_an_entry_comes_back(event: dict[str, object]) -> None:
    line = encode_entry(event, 7, NOW)  # type: ignore[arg-type]
    assert decode_entry(line, 7) == {**event, "seq": 7, "time": "2026-11-23T06:40:01Z"}
    assert b"\n" not in line


@pytest.mark.parametrize("kind", EVENTS)
def test_required_fields_are_required(kind: str) -> None:
    if EVENTS[kind]:
        with pytest.raises(EventRefused, match=EVENTS[kind][0]):
            check_event({"type": kind})
    else:
        check_event({"type": kind})


@pytest.mark.parametrize(
    "fields",
    [
        {"round": 1.5},
        {"round": -1},
        {"round": True},
        {"round": "1"},
        {"round": 2**53},
        {"bytes": None},
        {"site": "St. Anna"},
        {"site": "../../etc/passwd"},
        {"site": "a" * 64},
        {"site": ["spain"]},
        {"sites": "spain"},
        {"sites": ["spain", 1]},
        {"sites": ["/home/spain"]},
        {"plan_hash": "ab" * 31},
        {"plan_hash": "AB" * 32},
        {"plan_hash": "zz" * 32},
        {"plan_hash": 5},
        {"reason": "the patient John Doe was lost"},
        {"reason": "/var/log/x"},
        {"reason": "a" * 65},
        {"weight": "0.5"},
        {"weight": "1/0"},
        {"weight": 0.5},
        {"version": "latest"},
        {"resumed": 1},
        {"session": "abc"},
        {"path": "x"},
        {"message": "x"},
        {"patient_id": 5},
        {"loss": 1},
        {"my_own_private_long_hash": HASH},
        {"note": {"plan_hash": HASH}},
        {"seq": 3},
        {"time": "2026-11-23T06:40:01Z"},
    ],
)
def test_what_has_no_place_in_the_log_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(EventRefused):
        check_event({"type": "process.started", **fields})  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", [None, "", "round.exploded", 5])
def test_unknown_types_are_refused(kind: object) -> None:
    with pytest.raises(EventRefused):
        check_event({"type": kind})  # type: ignore[dict-item]


GOOD = encode_entry({"type": "site.lost", "site": "spain"}, 0, NOW)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        GOOD[:-1],
        GOOD + b" ",
        GOOD.replace(b":", b": ", 1),
        GOOD.replace(b"site.lost", b"site.gone"),
        GOOD.replace(b'"seq":0', b'"seq":1'),
        GOOD.replace(b'"seq":0', b'"seq":false'),
        GOOD.replace(b'"seq":0', b'"seq":0.0'),
        GOOD.replace(b"2026-11-23", b"2026-13-23"),
        GOOD.replace(b"06:40:01Z", b"06:40:1Z"),
        GOOD.replace(b'{"seq"', b'{"extra":1,"seq"'),
        GOOD.replace(b'{"seq":0,', b'{"seq":0,"seq":0,'),
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)
def test_lines_that_are_no_entry_are_refused(line: bytes) -> None:
    assert decode_entry(GOOD, 0)["site"] == "spain"
    with pytest.raises(EventRefused):
        decode_entry(line, 0)


@given(st.binary(max_size=120))
def test_no_bytes_do_worse_than_be_refused(line: bytes) -> None:
    with pytest.raises(EventRefused):
        decode_entry(line, 0)


@given(
    st.dictionaries(
        st.sampled_from(["round", "site", "sites", "plan_hash", "reason", "weight", "resumed"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
    )
)
def test_what_is_accepted_is_canonical_and_nothing_else_is_raised(
    fields: dict[str, object],
) -> None:
    event = {"type": "process.started", **fields}
    try:
        line = encode_entry(event, 1, NOW)  # type: ignore[arg-type]
    except EventRefused:
        return
    assert decode_entry(line, 1)["type"] == "process.started"
