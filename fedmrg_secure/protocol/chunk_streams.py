"""Streams of chunks between a site and its coordinator, which go on where they broke."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from fedmrg_secure.core.merkle import leaf_hash
from fedmrg_secure.protocol.channel import SERVICE, Channels, PatientCaller
from fedmrg_secure.protocol.chunks import ResumingStream, StoredChunks, UploadParts
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope
from fedmrg_secure.protocol.errors import ReplyRefused
from fedmrg_secure.protocol.v1 import transport_pb2

_STREAM_TIMEOUT_S: Final = 120.0
"""One attempt of a stream; a stream that moved within it is resumed where it stood."""

Progress = Callable[[int], None]
"""Called with the bytes of each frame that has moved."""


class Traffic(Protocol):
    """Counts message bytes (`CoordinatorClient`)."""

    bytes_sent: int
    bytes_received: int


class ChunkStreams:
    """Raises what `CoordinatorClient` raises.

    Args:
        channels: to the coordinator.
        caller: repeats what breaks.
        seal: signs a message for a round, of the session.
        traffic: told what has moved.
    """

    def __init__(
        self,
        channels: Channels,
        caller: PatientCaller,
        seal: Callable[[Message, int], Envelope],
        traffic: Traffic,
    ) -> None:
        self._channels, self._caller, self._seal = channels, caller, seal
        self._traffic = traffic

    def send(
        self,
        method: str,
        round_number: int,
        listed: Message,
        count: int,
        stored: Callable[[], Iterable[int]],
        read_frame: Callable[[int], bytes],
        on_progress: Progress | None = None,
    ) -> tuple[bytes, Envelope]:
        """Stream the chunks that a signed message lists; after a break only what is missing.

        Args:
            method: takes the message, then chunks.
            listed: the message; signed once, so that a repetition is the same.
            count: chunks that it lists.
            stored: asks which of them the coordinator has.
            read_frame: a chunk's bytes by its index; may be called again for the same index.
            on_progress: called with the length of each chunk that was sent.

        Returns:
            The reply, not opened yet, and what it replies to.
        """
        envelope = self._seal(listed, round_number)
        progress = StoredChunks()
        with self._channels.apart() as channel:
            stub = channel.stream_unary(
                SERVICE + method, transport_pb2.UploadPart.SerializeToString, None
            )

            def attempt() -> bytes:
                progress.update(stored())
                parts = UploadParts(envelope, count, progress.stored, read_frame)
                sent = self._counted(parts, on_progress)
                try:
                    reply: bytes = stub(sent, timeout=_STREAM_TIMEOUT_S)
                except Exception:
                    if parts.failure is not None:
                        raise parts.failure from None
                    raise
                return reply

            return self._caller.call(attempt, progress.has_grown), envelope

    def receive(
        self,
        method: str,
        round_number: int,
        request: Callable[[int], Message],
        hashes: Sequence[bytes],
        *,
        first_chunk: int = 0,
        on_progress: Progress | None = None,
    ) -> Iterator[bytes]:
        """Chunks in order from `first_chunk` on, each checked against its signed leaf hash.

        Args:
            method: streams chunks.
            request: the message that asks for them from an index on.
            hashes: leaf hash of each, from something that its sender has signed.
            on_progress: called with the length of each chunk that came.
        """
        source = ResumingStream(lambda index: self._open(method, round_number, request(index)))
        for index in range(first_chunk, len(hashes)):
            chunk = self._caller.call(functools.partial(source.next, index))
            if chunk.index != index or leaf_hash(chunk.frame) != hashes[index]:
                raise ReplyRefused(f"chunk {index} is not the one that is signed")
            self._traffic.bytes_received += len(chunk.frame)
            if on_progress is not None:
                on_progress(len(chunk.frame))
            yield chunk.frame

    def _open(
        self, method: str, round_number: int, request: Message
    ) -> Iterator[transport_pb2.Chunk]:
        envelope = self._seal(request, round_number)
        stub = self._channels.shared.unary_stream(
            SERVICE + method, None, transport_pb2.Chunk.FromString
        )
        return iter(stub(envelope.to_bytes(), timeout=_STREAM_TIMEOUT_S))

    def _counted(
        self, parts: Iterable[transport_pb2.UploadPart], on_progress: Progress | None
    ) -> Iterator[transport_pb2.UploadPart]:
        for part in parts:
            self._traffic.bytes_sent += part.ByteSize()
            yield part
            if on_progress is not None and part.HasField("chunk"):
                on_progress(len(part.chunk.frame))
