from __future__ import annotations

import os

import numpy as np
import pytest

from fedmrg_secure.crypto.errors import SealUnavailable
from fedmrg_secure.crypto.seal_files import MemoryFile, SealFormat, read_version

FORMAT = SealFormat(major=4, minor=3, parms_id=bytes(range(32)), ring_degree=8, scale=64.0)
C0 = np.arange(8, dtype=np.uint64)
SEED = bytes(64)
FILE = FORMAT.seeded_ciphertext(C0, SEED)


def test_a_memory_file_is_written_read_and_gone() -> None:
    with MemoryFile() as memory:
        memory.write(b"secret")
        memory.write(b"X", 1)
        with open(memory.path, "rb") as file:
            assert file.read() == b"sXcret"
        assert memory.read(3) == b"sXc"
        path = memory.path
    assert not os.path.exists(path)
    memory.close()


def test_no_memory_files_on_this_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(SealUnavailable, match="memfd"):
        MemoryFile()


def test_a_ciphertext_file_comes_apart_into_what_it_was_made_of() -> None:
    assert len(FILE) == FORMAT.ciphertext_bytes
    assert read_version(FILE) == (4, 3)
    c0, seed = FORMAT.split_ciphertext(FILE)
    np.testing.assert_array_equal(c0, C0)
    assert seed == SEED


@pytest.mark.parametrize("place", [16, 50, 80, 90, FORMAT.array_offset - 1, FORMAT.seed_offset - 1])
def test_another_format_is_noticed(place: int) -> None:
    changed = bytearray(FILE)
    changed[place] ^= 1
    with pytest.raises(SealUnavailable, match="unknown format"):
        FORMAT.split_ciphertext(bytes(changed))


def test_another_length_version_or_compression_is_noticed() -> None:
    with pytest.raises(SealUnavailable, match="length"):
        FORMAT.split_ciphertext(FILE + b"\0")
    with pytest.raises(SealUnavailable, match="compresses"):
        FORMAT.split_ciphertext(FILE[:5] + b"\x01" + FILE[6:])
    with pytest.raises(SealUnavailable, match="version"):
        read_version(FILE[:3] + b"\x05" + FILE[4:])


def test_a_secret_key_file_comes_apart_into_its_residues() -> None:
    file = FORMAT.secret_key(C0)
    np.testing.assert_array_equal(FORMAT.split_secret_key(file), C0)
    changed = bytearray(file)
    changed[20] ^= 1
    with pytest.raises(SealUnavailable, match="unknown format"):
        FORMAT.split_secret_key(bytes(changed))
