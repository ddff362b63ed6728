"""Writing a log: durable, repaired after a kill at any byte, one writer, whole on a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmrg_secure.audit_log import AuditLog, LogInvalid, log_origin, verify_log
from fedmrg_secure.audit_log.checkpoint import read_checkpoint
from fedmrg_secure.audit_log.files import LineFile
from fedmrg_secure.audit_log.log import LogDamaged, LogLocked, LogNotWritten
from fedmrg_secure.audit_log.record import EventRefused
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.signing import SigningKey
from tests.audit_log.logs import NOW, some_events, write_log

KEY = SigningKey.generate("spain")
ORIGIN = log_origin("lungs", "spain")
EVENT = {"type": "site.lost", "site": "italy"}


def open_log(folder: Path) -> AuditLog:
    return AuditLog.open(folder, ORIGIN, KEY, clock=lambda: NOW)


def verified_size(folder: Path) -> int:
    return verify_log(folder, "spain", ORIGIN, KEY.public_key).size


def test_appended_events_are_numbered_signed_and_kept(tmp_path: Path) -> None:
    with open_log(tmp_path / "log") as log:
        assert log.append(EVENT) == 0
        assert log.append_all(some_events(3)) == [1, 2, 3]  # type: ignore[arg-type]
        assert log.size == 4
    lines = (tmp_path / "log" / "entries.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2, 3]
    assert json.loads(lines[0])["time"] == "2026-11-23T06:40:00Z"
    note = (tmp_path / "log" / "checkpoint").read_text()
    newest = read_checkpoint(note, ORIGIN, KEY.public_key)
    assert newest.size == 4
    assert newest.root == merkle_root(leaf_hash(line) for line in lines)
    assert verified_size(tmp_path / "log") == 4


def test_a_log_goes_on_where_it_stood(tmp_path: Path) -> None:
    for expected in range(3):
        with open_log(tmp_path) as log:
            assert log.size == expected
            assert log.append(EVENT) == expected
    assert verified_size(tmp_path) == 3


def test_each_entry_has_its_own_checkpoint_on_disk_before_append_returns(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for count in range(1, 4):
        log.append(EVENT)
        copy = tmp_path / f"copy-{count}"
        copy.mkdir()
        for name in ("entries.jsonl", "checkpoints.jsonl"):
            shutil.copy(tmp_path / name, copy / name)
        assert verified_size(copy) == count
    log.close()


def test_a_refused_event_leaves_no_trace(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append(EVENT)
        with pytest.raises(EventRefused):
            log.append_all([EVENT, {"type": "site.lost"}])
        assert log.size == 1
    assert verified_size(tmp_path) == 1


def test_only_one_process_writes(tmp_path: Path) -> None:
    with open_log(tmp_path), pytest.raises(LogLocked):
        open_log(tmp_path)
    open_log(tmp_path).close()


def test_threads_take_turns(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda: [log.append(EVENT) for _ in range(5)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verified_size(tmp_path) == 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_log(folder, "spain", KEY, some_events(4))
    (folder / "checkpoint").unlink()
    return folder


def cut_copy(whole: Path, target: Path, entries: int, checkpoints: int) -> Path:
    """The log as a kill leaves it after so many bytes of each file."""
    target.mkdir()
    for name, length in (("entries.jsonl", entries), ("checkpoints.jsonl", checkpoints)):
        (target / name).write_bytes((whole / name).read_bytes()[:length])
    return target


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_kill_at_any_byte_loses_only_what_was_being_written(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Entries are on disk before their checkpoints: so the checkpoints are the shorter file."""
    lines = (whole / "entries.jsonl").read_bytes()
    notes = (whole / "checkpoints.jsonl").read_bytes()
    entries = data.draw(st.integers(0, len(lines)))
    complete = lines[:entries].count(b"\n")
    longest = len(b"".join(notes.splitlines(keepends=True)[:complete]))
    checkpoints = data.draw(st.integers(0, longest))
    folder = cut_copy(whole, tmp_path_factory.mktemp("cut") / "log", entries, checkpoints)
    with open_log(folder) as log:
        assert log.size == complete
        assert log.append(EVENT) == complete
    assert verified_size(folder) == complete + 1


def test_the_end_of_a_crashed_disk_is_cut_away(tmp_path: Path, whole: Path) -> None:
    folder = cut_copy(whole, tmp_path / "log", 10**9, 10**9)
    with (folder / "entries.jsonl").open("ab") as stream:
        stream.write(bytes(4096))
    with open_log(folder) as log:
        assert log.size == 4


@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl"])
def test_a_damaged_log_is_not_continued(tmp_path: Path, whole: Path, name: str) -> None:
    content = (whole / name).read_bytes()
    for at in (5, len(content) // 2, len(content) - 30):
        folder = cut_copy(whole, tmp_path / f"log-{at}", 10**9, 10**9)
        bad = bytearray(content)
        bad[at] ^= 1
        (folder / name).write_bytes(bytes(bad))
        if name == "entries.jsonl" or at > len(content) // 2:
            with pytest.raises(LogDamaged):
                open_log(folder)


def test_a_log_with_another_valid_entry_is_not_continued(tmp_path: Path, whole: Path) -> None:
    folder = cut_copy(whole, tmp_path / "log", 10**9, 10**9)
    entries = folder / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"round":2', b'"round":5'))
    with pytest.raises(LogDamaged, match="not those that were signed"):
        open_log(folder)


def test_append_waits_for_the_disk_entries_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    with open_log(tmp_path / "log") as log:
        monkeypatch.setattr(os, "fsync", record)
        log.append(EVENT)
        assert synced == ["entries.jsonl", "checkpoints.jsonl"]
        monkeypatch.undo()


def test_a_log_shorter_than_what_was_signed_is_not_continued(tmp_path: Path, whole: Path) -> None:
    first_line = len((whole / "entries.jsonl").read_bytes().splitlines(keepends=True)[0])
    folder = cut_copy(whole, tmp_path / "log", first_line, 10**9)
    with pytest.raises(LogDamaged, match="1 entries, but 4 were signed"):
        open_log(folder)
    # The refusal let the lock go: the next attempt fails for the same reason, not for the lock.
    with pytest.raises(LogDamaged):
        open_log(folder)


def test_another_partys_log_is_not_continued(tmp_path: Path, whole: Path) -> None:
    folder = cut_copy(whole, tmp_path / "log", 10**9, 10**9)
    with pytest.raises(LogDamaged):
        AuditLog.open(folder, ORIGIN, SigningKey.generate("spain"))
    with pytest.raises(LogDamaged):
        AuditLog.open(folder, log_origin("lungs", "italy"), KEY)


@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl"])
def test_a_full_disk_leaves_the_log_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with open_log(tmp_path) as log:
        log.append(EVENT)
        append = LineFile.append

        def fails(file: LineFile, lines: list[bytes]) -> None:
            if Path(file._stream.name).name != name:
                return append(file, lines)
            file._stream.write(lines[0][:10])  # what fitted
            file.cut(file.length)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(LineFile, "append", fails)
            with pytest.raises(LogNotWritten, match="No space left"):
                log.append(EVENT)
        assert log.size == 1
        assert log.append(EVENT) == 1
    assert verified_size(tmp_path) == 2


def test_a_really_full_device_is_reported(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "lines")
    file.append([b"first"])
    file._stream.close()
    file._stream = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError) as caught:  # noqa: PT011
        file.append([b"second"])
    assert caught.value.errno in (errno.ENOSPC, errno.EINVAL)
    assert (tmp_path / "lines").read_bytes() == b"first\n"


WRITER = """
import sys
from pathlib import Path
from fedmrg_secure.audit_log import AuditLog
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.signing import SigningKey
key = SigningKey("spain", SecretBytes(bytes(range(32))))
log = AuditLog.open(Path(sys.argv[1]), "fedmrg/lungs/spain", key)
while True:
    print(log.append({"type": "site.lost", "site": "italy"}), flush=True)
"""


def test_a_killed_writer_keeps_every_acknowledged_event(tmp_path: Path) -> None:
    from fedmrg_secure.crypto.keys import SecretBytes

    key = SigningKey("spain", SecretBytes(bytes(range(32))))
    folder = tmp_path / "log"
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(10):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        with AuditLog.open(folder, ORIGIN, key) as log:
            assert acknowledged + 1 <= log.size <= acknowledged + 2
    verify_log(folder, "spain", ORIGIN, key.public_key)


def test_a_log_that_is_being_written_can_be_verified(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append(EVENT)
        live = verify_log(tmp_path, "spain", ORIGIN, KEY.public_key)
        assert (live.live, live.size, live.unsigned) == (True, 1, 0)
    closed = verify_log(tmp_path, "spain", ORIGIN, KEY.public_key)
    assert not closed.live


def test_an_empty_log_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogInvalid, match="no log"):
        verify_log(tmp_path, "spain", ORIGIN, KEY.public_key)
