"""Streams of chunks that go on where they broke."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import ReplyRefused
from fedmrg_secure.protocol.messages import UploadManifest
from fedmrg_secure.protocol.v1 import transport_pb2


@dataclass(frozen=True, slots=True)
class Chunk:
    """One frame and its place."""

    index: int
    frame: bytes


def manifest_of(plan_hash: bytes, frames: Iterable[bytes]) -> UploadManifest:
    """The upload manifest of frames, read once, in chunk order.

    Args:
        plan_hash: `hashes.plan_hash` of the round's plan, 32 bytes.
    """
    hashes: list[bytes] = []
    total_bytes = 0
    for frame in frames:
        hashes.append(leaf_hash(frame))
        total_bytes += len(frame)
    return UploadManifest(plan_hash, tuple(hashes), merkle_root(hashes), total_bytes)


class StoredChunks:
    """Which chunks the coordinator has, and whether they have become more."""

    def __init__(self) -> None:
        self.stored: frozenset[int] = frozenset()
        self._grown = False

    def update(self, stored: Iterable[int]) -> None:
        before = len(self.stored)
        self.stored = frozenset(stored)
        self._grown = len(self.stored) > before

    def has_grown(self) -> bool:
        """Whether the last `update` brought more than the one before."""
        return self._grown


class UploadParts:
    """The parts of one upload stream: the signed list, then each chunk that is not stored yet.

    Args:
        envelope: an upload manifest's, or a snapshot offer's.
        count: chunks that it lists.
        stored: those that the coordinator has.
        read_frame: a chunk's bytes by its index.

    Attributes:
        failure: what `read_frame` raised; gRPC would only report that the stream broke.
    """

    def __init__(
        self,
        envelope: Envelope,
        count: int,
        stored: frozenset[int],
        read_frame: Callable[[int], bytes],
    ) -> None:
        self._envelope = envelope
        self._missing = [i for i in range(count) if i not in stored]
        self._read_frame = read_frame
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[transport_pb2.UploadPart]:
        signed = transport_pb2.Envelope.FromString(self._envelope.to_bytes())
        yield transport_pb2.UploadPart(manifest=signed)
        for index in self._missing:
            try:
                frame = self._read_frame(index)
            except Exception as error:
                self.failure = error
                raise
            yield transport_pb2.UploadPart(chunk=transport_pb2.Chunk(index=index, frame=frame))


class ResumingStream:
    """A download that is opened again at the chunk where it broke.

    Args:
        open_at: opens a stream that begins with the chunk of the given index.
    """

    def __init__(self, open_at: Callable[[int], Iterator[transport_pb2.Chunk]]) -> None:
        self._open_at = open_at
        self._stream: Iterator[transport_pb2.Chunk] | None = None

    def next(self, index: int) -> transport_pb2.Chunk:
        """The chunk at `index`; after an error the next call opens a new stream there.

        Raises:
            ReplyRefused: the stream ended early.
        """
        stream = self._stream or self._open_at(index)
        self._stream = None
        chunk = next(stream, None)
        if chunk is None:
            raise ReplyRefused(f"the download ended before chunk {index}")
        self._stream = stream
        return chunk
