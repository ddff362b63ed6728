"""Every way of tampering with one log is found, and the first bad entry is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.audit_log import AuditLog, LogInvalid, VerifiedLog, log_origin, verify_log
from fedmrg_secure.audit_log.checkpoint import Checkpoint, sign_checkpoint
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.signing import SigningKey
from tests.audit_log.logs import NOW, some_events, write_log
from tests.core.hostile_json import HOSTILE

KEY = SigningKey.generate("spain")
ORIGIN = log_origin("lungs", "spain")
COUNT = 7
ENTRIES, CHECKPOINTS = "entries.jsonl", "checkpoints.jsonl"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_log(folder, "spain", KEY, some_events(COUNT))
    return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def check(folder: Path) -> VerifiedLog:
    return verify_log(folder, "spain", ORIGIN, KEY.public_key)


def first_bad(whole: Path, bench: Path, changes: dict[str, Callable[[bytes], bytes]]) -> int | None:
    """Verify a changed copy of the log, which must fail; the entry that is blamed."""
    for name in (ENTRIES, CHECKPOINTS, "checkpoint"):
        content = (whole / name).read_bytes()
        (bench / name).write_bytes(changes.get(name, lambda same: same)(content))
    with pytest.raises(LogInvalid) as caught:
        check(bench)
    assert caught.value.party == "spain"
    assert "spain" in caught.value.message
    return caught.value.entry


def line_at(content: bytes, at: int) -> int:
    return content[:at].count(b"\n")


def test_the_untouched_log_is_whole(whole: Path) -> None:
    log = check(whole)
    lines = (whole / ENTRIES).read_bytes().splitlines()
    assert (log.party, log.size, log.checkpoints) == ("spain", COUNT, COUNT)
    assert log.root_hex == merkle_root(leaf_hash(line) for line in lines).hex()
    assert log.roots[3] == merkle_root(leaf_hash(line) for line in lines[:3])
    assert [event["round"] for event in log.events] == list(range(COUNT))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_changed_byte_of_the_entries(whole: Path, bench: Path, data: st.DataObject) -> None:
    content = (whole / ENTRIES).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    by = data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))
    changed = content[:at] + bytes([by]) + content[at + 1 :]
    assert first_bad(whole, bench, {ENTRIES: lambda _: changed}) == line_at(content, at)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_changed_byte_of_the_checkpoints(whole: Path, bench: Path, data: st.DataObject) -> None:
    content = (whole / CHECKPOINTS).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    by = data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))
    changed = content[:at] + bytes([by]) + content[at + 1 :]
    assert first_bad(whole, bench, {CHECKPOINTS: lambda _: changed}) == line_at(content, at)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_inserted_or_removed_byte(whole: Path, bench: Path, data: st.DataObject) -> None:
    content = (whole / ENTRIES).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = bytes([data.draw(st.integers(0, 255))])
    removed = content[:at] + content[at + 1 :]
    assert first_bad(whole, bench, {ENTRIES: lambda _: removed}) == line_at(content, at)
    inserted = content[:at] + byte + content[at:]
    assert first_bad(whole, bench, {ENTRIES: lambda _: inserted}) in (
        line_at(content, at),
        COUNT,  # the last byte of all doubled: what follows the last entry is bad
    )


def change_lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda content: b"".join(change(content.splitlines(keepends=True)))


def renumber(lines: list[bytes]) -> list[bytes]:
    """What a careful forger does: the numbers are in order again."""
    entries = [json.loads(line) for line in lines]
    return [
        json.dumps({**e, "seq": n}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        for n, e in enumerate(entries)
    ]


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("index", range(COUNT))
def test_a_deleted_entry(whole: Path, bench: Path, index: int, careful: bool) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        rest = lines[:index] + lines[index + 1 :]
        return renumber(rest) if careful else rest

    assert first_bad(whole, bench, {ENTRIES: change_lines(change)}) == index
    both = {
        ENTRIES: change_lines(change),
        CHECKPOINTS: change_lines(lambda n: n[:index] + n[index + 1 :]),
    }
    assert first_bad(whole, bench, both) == (index if index < COUNT - 1 else COUNT - 1)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_swapped_entries(whole: Path, bench: Path, data: st.DataObject) -> None:
    careful = data.draw(st.booleans())
    i, j = sorted(data.draw(st.sets(st.integers(0, COUNT - 1), min_size=2, max_size=2)))

    def change(lines: list[bytes]) -> list[bytes]:
        lines[i], lines[j] = lines[j], lines[i]
        return renumber(lines) if careful else lines

    assert first_bad(whole, bench, {ENTRIES: change_lines(change)}) == i


@pytest.mark.parametrize("index", range(COUNT + 1))
def test_an_inserted_entry(whole: Path, bench: Path, index: int) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        extra = lines[0].replace(b'"round":0', b'"round":99')
        return renumber([*lines[:index], extra, *lines[index:]])

    assert first_bad(whole, bench, {ENTRIES: change_lines(change)}) == index


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_truncated_log(whole: Path, bench: Path, data: st.DataObject) -> None:
    content = (whole / ENTRIES).read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    assert first_bad(whole, bench, {ENTRIES: lambda c: c[:length]}) == line_at(content, length)


@pytest.mark.parametrize("kept", range(COUNT))
def test_a_log_without_its_newest_checkpoints(whole: Path, bench: Path, kept: int) -> None:
    stripped = {CHECKPOINTS: change_lines(lambda notes: notes[:kept])}
    assert first_bad(whole, bench, stripped) == kept


@pytest.mark.parametrize("kept", range(1, COUNT))
def test_a_log_cut_back_with_its_checkpoints_contradicts_the_newest(
    whole: Path, bench: Path, kept: int
) -> None:
    cut = change_lines(lambda lines: lines[:kept])
    assert first_bad(whole, bench, {ENTRIES: cut, CHECKPOINTS: cut}) == kept


@pytest.mark.parametrize("size", [2, 4, 99])
def test_a_checkpoint_that_states_another_size(whole: Path, bench: Path, size: int) -> None:
    note = json.dumps(sign_checkpoint(Checkpoint(ORIGIN, size, check(whole).roots[3]), KEY))

    def change(notes: list[bytes]) -> list[bytes]:
        return [*notes[:2], note.encode() + b"\n", *notes[3:]]

    assert first_bad(whole, bench, {CHECKPOINTS: change_lines(change)}) == 2


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda line: b" " + line,
        lambda line: line.replace(b"\\u2014", "—".encode()),
        lambda line: line.replace(b"fedmrg/", b"fedmrg\\/"),
        lambda line: b"[" + line + b"]",
    ],
)
def test_a_checkpoint_written_another_way(
    whole: Path, bench: Path, rewrite: Callable[[bytes], bytes]
) -> None:
    def change(notes: list[bytes]) -> list[bytes]:
        return [*notes[:4], rewrite(notes[4].rstrip(b"\n")) + b"\n", *notes[5:]]

    assert first_bad(whole, bench, {CHECKPOINTS: change_lines(change)}) == 4


def test_a_log_signed_by_another_key(whole: Path, tmp_path: Path) -> None:
    write_log(tmp_path, "spain", SigningKey.generate("spain"), some_events(3))
    with pytest.raises(LogInvalid, match="key") as caught:
        check(tmp_path)
    assert caught.value.entry == 0


def test_entries_appended_by_somebody_without_the_key(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "log"))
    mallory = SigningKey.generate("spain")
    lines = (folder / ENTRIES).read_bytes().splitlines()
    extra = lines[-1].replace(b'"seq":6', b'"seq":7')
    root = merkle_root(leaf_hash(line) for line in [*lines, extra])
    note = json.dumps(sign_checkpoint(Checkpoint(ORIGIN, COUNT + 1, root), mallory)).encode()
    for name, line in ((ENTRIES, extra), (CHECKPOINTS, note)):
        with (folder / name).open("ab") as stream:
            stream.write(line + b"\n")
    with pytest.raises(LogInvalid) as caught:
        check(folder)
    assert caught.value.entry == COUNT


def test_a_rewritten_history_contradicts_a_checkpoint_kept_elsewhere(
    whole: Path, tmp_path: Path
) -> None:
    """The key's holder forks its log: a witness who kept the old head can show it."""
    changed = [*some_events(COUNT)[:3], *some_events(2 * COUNT)[COUNT : 2 * COUNT - 3]]
    write_log(tmp_path / "fork", "spain", KEY, changed)
    assert check(tmp_path / "fork").size == COUNT
    shutil.copy(whole / "checkpoint", tmp_path / "fork" / "checkpoint")
    with pytest.raises(LogInvalid, match="fork"):
        check(tmp_path / "fork")


def test_logs_of_two_parties_do_not_mix(whole: Path, tmp_path: Path) -> None:
    italy = SigningKey.generate("italy")
    with pytest.raises(LogInvalid):
        verify_log(whole, "italy", log_origin("lungs", "italy"), italy.public_key)
    with AuditLog.open(tmp_path, ORIGIN, KEY, clock=lambda: NOW) as log:
        log.append_all(some_events(COUNT)[:2])  # type: ignore[arg-type]
    shutil.copy(tmp_path / CHECKPOINTS, tmp_path / "x")
    (tmp_path / CHECKPOINTS).write_bytes((whole / CHECKPOINTS).read_bytes())
    with pytest.raises(LogInvalid) as caught:
        check(tmp_path)
    assert caught.value.entry == 2


@pytest.mark.parametrize("name", [ENTRIES, CHECKPOINTS])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_of_json_that_nobody_signs(whole: Path, bench: Path, name: str, text: str) -> None:
    def put(lines: list[bytes]) -> list[bytes]:
        return [*lines[:2], text.encode(), *lines[3:]]

    assert first_bad(whole, bench, {name: change_lines(put)}) == 2
