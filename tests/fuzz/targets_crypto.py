"""Parsers of encrypted updates, keys, shares and sealed states."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, decode_frame, encode_frame
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty.combining import combine
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, RoundKey
from fedmrg_secure.crypto.multiparty.shares import SHARE_BYTES, SumKey
from fedmrg_secure.crypto.parameters import CKKS_SHARED, SCHEMES, SchemeParameters
from fedmrg_secure.crypto.residues import add_mod, unpack
from fedmrg_secure.crypto.seal_key import generate_seal_key, open_sealed, seal, seal_public_key
from fedmrg_secure.crypto.sealed_state import StateContext, StateSealer, open_state
from fedmrg_secure.crypto.tenseal_shared import CkksShared
from fedmrg_secure.protocol.snapshots import SEALED_KEY_BYTES
from tests.fuzz.target import Target

_SITES = 3
_VALUES = 3000


def targets() -> Iterator[Target]:
    """All of this module."""
    yield from _frames()
    yield from _sums()
    yield from _secrets()


def _parameters(scheme: str) -> SchemeParameters:
    return SchemeParameters.for_config(scheme, sites=_SITES, max_abs_value=1 << 12)


def _header(parameters: SchemeParameters, sender: str, contributors: int) -> FrameHeader:
    return FrameHeader.of_chunk(
        parameters,
        session=bytes(32),
        round=3,
        sender=sender,
        chunk_index=0,
        value_count=_VALUES,
        contributors=contributors,
    )


def _frames() -> Iterator[Target]:
    for scheme in SCHEMES:
        for name, sender, contributors in (
            (f"frame of {scheme}", "alpha", 1),
            (f"frame of a sum of {scheme}", AGGREGATE, _SITES),
        ):
            header = _header(_parameters(scheme), sender, contributors)
            residues = np.arange(header.residue_count, dtype=np.uint64)
            sound = encode_frame(header, residues, bytes(header.openers_bytes))

            def parse(data: bytes, expected: FrameHeader = header) -> object:
                frame = decode_frame(data, expected)
                return frame.openers_by_contributor(expected.contributors)

            yield Target(name, st.just(sound), parse)
    yield Target(
        "packed residues",
        st.binary(min_size=25, max_size=25),
        lambda data: unpack(data, 10, 20),
    )


def _sums() -> Iterator[Target]:
    """What another site made as the shared key, and what the coordinator says is a sum."""
    parameters = _parameters(CKKS_SHARED)
    key = CkksShared.new_key(parameters)
    yield Target(
        "shared key made by another site",
        st.just(key.reveal()),
        lambda data: CkksShared(parameters, SecretBytes(data)),
    )
    header = _header(parameters, AGGREGATE, _SITES)
    scheme = CkksShared(parameters, key)
    uploads = [scheme.encrypt_chunk(0, np.arange(_VALUES)) for _ in range(_SITES)]
    total = uploads[0].residues.copy()
    for upload in uploads[1:]:
        add_mod(total, upload.residues, parameters.modulus)
    sound = encode_frame(header, total, b"".join(upload.openers for upload in uploads))

    def parse(data: bytes) -> object:
        frame = decode_frame(data, header)
        openers = frame.openers_by_contributor(_SITES)
        # A new one each time: after a refusal it opens nothing any more.
        return CkksShared(parameters, key).open_chunk(0, frame.residues, openers, _VALUES)

    yield Target("sum to be opened", st.just(sound), parse)


def _secrets() -> Iterator[Target]:
    parameters = _parameters("ckks-multiparty")
    key = RoundKey.generate(parameters)
    shares = [share.to_bytes() for share in key.shares(5, 3)]
    share = shares[0]
    yield Target("key share", st.just(share), KeyShare.from_bytes)
    yield Target("share sums", st.just(b"".join(shares)), _combine)
    stored = key.to_secret_bytes().reveal()
    yield Target(
        "round key",
        st.just(stored),
        lambda data: RoundKey.from_secret_bytes(SecretBytes(data), parameters),
    )
    private = generate_seal_key()
    info = bytes(32)
    sealed = seal(seal_public_key(private), share, info)
    yield Target("sealed share", st.just(sealed), lambda data: open_sealed(private, data, info))
    yield _sealed_state(private)


def _combine(data: bytes) -> SumKey:
    parts = [data[at : at + SHARE_BYTES] for at in range(0, len(data), SHARE_BYTES)]
    return combine([KeyShare.from_bytes(part) for part in parts], 3)


def _sealed_state(private: SecretBytes) -> Target:
    """A sealed key and one chunk, as one string; its root is that of the sound chunk."""
    context = StateContext(bytes(32), 3, "alpha", "beta", bytes(32))
    sealer = StateSealer(context, 1)
    (chunk,) = sealer.encrypt([bytes(400)])
    root = merkle_root([leaf_hash(chunk)])
    key = sealer.seal_key(seal_public_key(private), root)

    def parse(data: bytes) -> object:
        key_bytes, chunks = data[:SEALED_KEY_BYTES], [data[SEALED_KEY_BYTES:]]
        return list(open_state(private, key_bytes, chunks, context, merkle_root=root, count=1))

    return Target("sealed state", st.just(key + chunk), parse)
