"""Parsers of the wire: envelopes, messages, streams, replies of refusal, proofs, manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator

from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from fedmrg_secure.client.peer_ledgers import SeenHead, judge_head
from fedmrg_secure.core.foreign_json import read_json
from fedmrg_secure.core.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merkle_root,
)
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.protocol.certified import LedgerHead
from fedmrg_secure.protocol.codec import (
    MessageType,
    decode_as,
    decode_message,
    encode_message,
    message_type,
)
from fedmrg_secure.protocol.envelope import Envelope, seal_envelope
from fedmrg_secure.protocol.errors import WrongPhase
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.status import CODE_KEY, error_of
from fedmrg_secure.protocol.v1 import transport_pb2
from tests.attacks.consortium import make_manifest
from tests.fuzz.mutate import mutate, mutate_json
from tests.fuzz.target import Target
from tests.protocol.examples import ledger_heads, messages

_LEAVES = [leaf_hash(bytes([number])) for number in range(13)]
_ROOT = merkle_root(_LEAVES)


def targets() -> Iterator[Target]:
    """All of this module."""
    key = SigningKey.generate("alpha")
    envelopes = messages.map(
        lambda message: seal_envelope(
            key, message, session=bytes(32), round_number=1, sequence=2
        ).to_bytes()
    )
    yield Target("envelope", envelopes, Envelope.from_bytes)
    kinds = messages.map(lambda one: bytes([message_type(one)]) + encode_message(one))
    yield Target("message", kinds, _parse_message)
    heads = ledger_heads().map(lambda head: encode_message(head))
    yield Target("head of a privacy ledger", heads, _parse_head)
    yield from _streams(envelopes)
    code = WrongPhase.code.encode()
    refusals = st.sampled_from([code + b"\nthe round is over", b"FMRG-6999\n", b"\n\xc3\xa9"])
    yield Target("reply that refuses", refusals, _parse_refusal)
    yield from _proofs()
    yield from _terms()


def _parse_message(data: bytes) -> object:
    kind = (data[0] - 1) % len(MessageType) + 1 if data else 1
    return decode_message(MessageType(kind), data[1:])


def _parse_head(data: bytes) -> object:
    head = decode_as(LedgerHead, data)
    known = SeenHead(head.ledger.hex(), max(0, head.entries - len(head.newest)), "00" * 32)
    return judge_head({head.scope.hex(): known}, head, 2)


def _streams(envelopes: st.SearchStrategy[bytes]) -> Iterator[Target]:
    chunk = transport_pb2.Chunk(index=3, frame=bytes(100))
    sound = chunk.SerializeToString()
    yield Target("chunk of a download", st.just(sound), _parse_chunk)
    lists = envelopes.map(
        lambda data: transport_pb2.UploadPart(
            manifest=transport_pb2.Envelope.FromString(data)
        ).SerializeToString()
    )
    chunks = st.just(transport_pb2.UploadPart(chunk=chunk).SerializeToString())
    yield Target("part of an upload", st.one_of(lists, chunks), _parse_upload_part)


def _parse_chunk(data: bytes) -> object:
    try:
        chunk = transport_pb2.Chunk.FromString(data)
    except DecodeError:  # which gRPC answers by itself
        return None
    return chunk.index, leaf_hash(chunk.frame)


def _parse_upload_part(data: bytes) -> object:
    try:
        part = transport_pb2.UploadPart.FromString(data)
    except DecodeError:  # which gRPC answers by itself
        return None
    if part.HasField("manifest"):
        return Envelope.from_bytes(part.manifest.SerializeToString())
    return part.HasField("chunk") and (part.chunk.index, leaf_hash(part.chunk.frame))


def _parse_refusal(data: bytes) -> object:
    code, _, details = data.partition(b"\n")
    text = details.decode("utf-8", "surrogateescape")
    metadata = [("other-bin", data), (CODE_KEY, data), (CODE_KEY, code.decode("latin-1"))]
    if (error := error_of(text, metadata)) is not None:
        raise error
    return None


def _proofs() -> Iterator[Target]:
    size = len(_LEAVES)

    def sound(index: int, proof: list[bytes]) -> bytes:
        return index.to_bytes(8, "big") + size.to_bytes(8, "big") + b"".join(proof)

    audit_paths = [sound(index, inclusion_proof(_LEAVES, index)) for index in range(size)]
    yield Target("audit path", st.sampled_from(audit_paths), _parse_audit_path)
    prefixes = [sound(first, consistency_proof(_LEAVES, first)) for first in range(1, size + 1)]
    yield Target("consistency proof", st.sampled_from(prefixes), _parse_consistency_proof)


def _proof_of(data: bytes) -> tuple[int, int, list[bytes]]:
    index, size = (int.from_bytes(data[at : at + 8], "big") for at in (0, 8))
    return index, size, [data[at : at + 32] for at in range(16, len(data), 32)]


def _parse_audit_path(data: bytes) -> object:
    index, size, proof = _proof_of(data)
    return check_inclusion(_LEAVES[index % len(_LEAVES)], index, size, proof, _ROOT)


def _parse_consistency_proof(data: bytes) -> object:
    first, size, proof = _proof_of(data)
    return check_consistency(first, merkle_root(_LEAVES[:first]), size, _ROOT, proof)


def _terms() -> Iterator[Target]:
    manifest = make_manifest(["a", "b", "c"])
    yield Target(
        "session manifest",
        st.just(manifest.to_bytes()),
        SessionManifest.from_bytes,
        (mutate, mutate_json),
    )
    yield Target(
        "scheme parameters",
        st.just(json.dumps(manifest.scheme_parameters).encode()),
        lambda data: SchemeParameters.from_json(read_json(data)),
        (mutate, mutate_json),
    )
