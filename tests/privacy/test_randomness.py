"""ChaCha20 as RFC 8439 has it; no seed, no copy, no use after a fork."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedmrg_secure.privacy import randomness
from fedmrg_secure.privacy.randomness import NoiseStream, StreamCrossedFork

KEY = bytes(range(32))


def test_the_key_stream_is_that_of_rfc_8439_appendix_a1() -> None:
    # Test vectors 1 and 2: key of zeros, nonce of zeros, block counters 0 and 1.
    stream = NoiseStream.insecure_from_key(bytes(32))
    first = (
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )
    second = (
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )
    assert stream.read(64).hex() == first
    assert stream.read(64).hex() == second


def test_words_and_bits_continue_the_same_stream() -> None:
    whole = NoiseStream.insecure_from_key(KEY).read(64)
    stream = NoiseStream.insecure_from_key(KEY)
    words = stream.words(4)
    assert words.tobytes() == whole[:32]
    assert int(words[0]) == int.from_bytes(whole[:8], "little")
    assert stream.bits(12) == int.from_bytes(whole[32:34], "little") & 0xFFF
    assert stream.read(0) == b""
    assert stream.read(30) == whole[34:]


def test_a_branch_is_keyed_by_the_next_bytes_of_its_stream() -> None:
    whole = NoiseStream.insecure_from_key(KEY).read(72)
    stream = NoiseStream.insecure_from_key(KEY)
    branch = stream.branch()
    assert stream.read(8) == whole[32:40]
    assert branch.read(40) == NoiseStream.insecure_from_key(whole[:32]).read(40)
    assert stream.branch().read(32) == NoiseStream.insecure_from_key(whole[40:72]).read(32)


def test_a_segment_ends_with_a_new_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness, "SEGMENT_BYTES", 128)
    stream = NoiseStream.insecure_from_key(KEY)
    first, second = stream.read(100), stream.read(100)
    for nonce, part in ((0, first), (1, second)):
        cipher = Cipher(ChaCha20(KEY, bytes(4) + nonce.to_bytes(12, "little")), mode=None)
        assert part == cipher.encryptor().update(bytes(100))
    again = NoiseStream.insecure_from_key(KEY)
    assert again.read(100) == first
    with pytest.raises(ValueError, match="0 to 128"):
        again.read(129)


def test_fresh_streams_differ_and_nothing_else_can_be_given() -> None:
    streams = {NoiseStream.fresh().read(32) for _ in range(50)}
    assert len(streams) == 50
    with pytest.raises(TypeError):
        NoiseStream.fresh(KEY)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="32 bytes"):
        NoiseStream.insecure_from_key(b"short")


def test_a_stream_tells_nothing_and_cannot_be_copied() -> None:
    stream = NoiseStream.insecure_from_key(KEY)
    assert repr(stream) == "NoiseStream(key=<redacted>)"
    for make in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="repeat itself"):
            make(stream)


def test_a_forked_child_cannot_repeat_its_parents_noise() -> None:
    stream = NoiseStream.fresh()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            stream.read(8)
            os.write(writer, b"read")
        except StreamCrossedFork:
            os.write(writer, b"refused")
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 16) == b"refused"
    os.close(reader)
    os.waitpid(child, 0)
    assert len(stream.read(8)) == 8


def test_threads_never_get_the_same_bytes() -> None:
    stream = NoiseStream.insecure_from_key(KEY)
    parts: list[bytes] = []

    def take() -> None:
        parts.extend(stream.read(16) for _ in range(500))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = NoiseStream.insecure_from_key(KEY).read(16 * 2000)
    assert sorted(parts) == sorted(whole[at : at + 16] for at in range(0, len(whole), 16))
