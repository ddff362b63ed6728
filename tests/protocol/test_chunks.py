from collections.abc import Iterator

import pytest

from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.protocol.chunks import ResumingStream, StoredChunks, UploadParts, manifest_of
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import ReplyRefused
from fedmrg_secure.protocol.v1 import transport_pb2
from tests.protocol.examples import Keys

FRAMES = [b"zero", b"one", b"two"]


def chunk(index: int) -> transport_pb2.Chunk:
    return transport_pb2.Chunk(index=index, frame=FRAMES[index])


def test_a_manifest_lists_leaf_hashes_root_and_size() -> None:
    manifest = manifest_of(bytes(32), iter(FRAMES))
    assert manifest.chunk_hashes == tuple(map(leaf_hash, FRAMES))
    assert manifest.merkle_root == merkle_root(manifest.chunk_hashes)
    assert manifest.total_bytes == 10


def parts(stored: set[int], read_frame) -> UploadParts:
    manifest = manifest_of(bytes(32), FRAMES)
    signer = Keys("alpha").keys["alpha"]
    envelope = seal_envelope(signer, manifest, session=bytes(32), round_number=1, sequence=1)
    return UploadParts(envelope, len(manifest.chunk_hashes), frozenset(stored), read_frame)


def test_only_missing_chunks_are_sent_after_the_manifest() -> None:
    first, *rest = parts({1}, FRAMES.__getitem__)
    assert first.HasField("manifest")
    assert [(part.chunk.index, part.chunk.frame) for part in rest] == [(0, b"zero"), (2, b"two")]


def test_what_reading_a_frame_raised_is_kept() -> None:
    def read(index: int) -> bytes:
        raise FileNotFoundError("gone")

    sent = parts(set(), read)
    with pytest.raises(FileNotFoundError):
        list(sent)
    assert isinstance(sent.failure, FileNotFoundError)


def test_progress_is_more_chunks_than_before() -> None:
    progress = StoredChunks()
    for stored, grown in (((), False), ((0,), True), ((0,), False), ((0, 2), True)):
        progress.update(stored)
        assert progress.has_grown() is grown


def test_a_broken_stream_goes_on_where_it_broke() -> None:
    opened: list[int] = []

    def open_at(index: int) -> Iterator[transport_pb2.Chunk]:
        opened.append(index)
        yield chunk(index)
        if len(opened) == 1:
            raise ConnectionError("broken")
        yield from (chunk(later) for later in range(index + 1, 3))

    stream = ResumingStream(open_at)
    assert stream.next(0).frame == b"zero"
    with pytest.raises(ConnectionError):
        stream.next(1)
    assert [stream.next(1).frame, stream.next(2).frame] == [b"one", b"two"]
    assert opened == [0, 1]


def test_a_stream_that_ends_early_is_refused() -> None:
    with pytest.raises(ReplyRefused, match="before chunk 0"):
        ResumingStream(lambda index: iter(())).next(0)
