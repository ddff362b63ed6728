"""Every parser of a peer's bytes, with bytes that it must accept, to be changed at random."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from hypothesis import strategies as st

from fedmrg_secure.audit_log.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from fedmrg_secure.audit_log.record import decode_entry
from fedmrg_secure.client.peer_ledgers import SeenHead, judge_head
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.certificates import COORDINATOR_ROLE, SITE_ROLE, read_party_certificate
from fedmrg_secure.crypto.frame import FrameHeader, decode_frame, encode_frame
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, RoundKey
from fedmrg_secure.crypto.parameters import SCHEMES, SchemeParameters
from fedmrg_secure.crypto.residues import unpack
from fedmrg_secure.crypto.roster import read_past_roster
from fedmrg_secure.crypto.seal_key import generate_seal_key, open_sealed, seal, seal_public_key
from fedmrg_secure.crypto.sealed_state import StateContext, StateSealer, open_state
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
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.snapshots import SEALED_KEY_BYTES
from fedmrg_secure.provisioning.authority import create_authority
from fedmrg_secure.provisioning.enrolment import PartyKeys, read_request, write_request
from tests.attacks.consortium import make_manifest
from tests.protocol.examples import ledger_heads, messages

LONGEST_S: Final = 5.0
"""No parser may take longer, whatever it is given."""

_INTERESTING: Final = (0, 1, 0x7F, 0x80, 0xFF)


class Hang(AssertionError):
    """A parser took longer than `LONGEST_S`."""


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        name: for people.
        sound: bytes that it accepts.
        parse: takes any bytes; may raise nothing but `FedmrgError`.
    """

    name: str
    sound: st.SearchStrategy[bytes]
    parse: Callable[[bytes], object]

    @property
    def hostile(self) -> st.SearchStrategy[bytes]:
        """Sound bytes changed a little or much, and some that were never sound."""
        changed = st.builds(mutate, self.sound, st.randoms(use_true_random=False))
        return st.one_of(changed, changed, changed, st.binary(max_size=400))

    def feed(self, data: bytes) -> None:
        """Parse `data`; return unless the parser breaks its promise.

        Raises:
            Hang: it takes too long.
            Exception: whatever else than `FedmrgError` the parser raises.
        """
        with _alarm(LONGEST_S):
            try:
                self.parse(data)
            except FedmrgError:
                return


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few random changes: bits, bytes, cuts, repeats, insertions, other lengths."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(7)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(changed):
            changed[place] = chance.choice(_INTERESTING)
        elif kind == 2:
            del changed[place : place + chance.randint(1, 40)]
        elif kind == 3:
            changed[place:place] = bytes(chance.choices(_INTERESTING, k=chance.randint(1, 40)))
        elif kind == 4:
            changed[place:place] = changed[place : place + chance.randint(1, 200)]
        elif kind == 5:
            del changed[place:]
        elif place + 4 <= len(changed):
            changed[place : place + 4] = chance.getrandbits(32).to_bytes(4, "big")
    return bytes(changed)


def all_targets() -> list[Target]:
    """Every parser that a peer's bytes reach."""
    return [*_protocol(), *_frames(), *_secrets(), *_identities(), *_log()]


def _protocol() -> Iterator[Target]:
    key = SigningKey.generate("alpha")
    envelopes = messages.map(
        lambda message: seal_envelope(
            key, message, session=bytes(32), round_number=1, sequence=2
        ).to_bytes()
    )
    yield Target("envelope", envelopes, Envelope.from_bytes)
    kinds = messages.map(lambda one: bytes([message_type(one)]) + encode_message(one))

    def parse_message(data: bytes) -> object:
        kind = (data[0] - 1) % len(MessageType) + 1 if data else 1
        return decode_message(MessageType(kind), data[1:])

    yield Target("message", kinds, parse_message)
    heads = ledger_heads().map(lambda head: encode_message(head))

    def parse_head(data: bytes) -> object:
        head = decode_as(LedgerHead, data)
        known = SeenHead(head.ledger.hex(), max(0, head.entries - len(head.newest)), "00" * 32)
        return judge_head({head.scope.hex(): known}, head, 2)

    yield Target("head of a privacy ledger", heads, parse_head)
    manifest = make_manifest(["a", "b", "c"])
    yield Target("session manifest", st.just(manifest.to_bytes()), SessionManifest.from_bytes)
    parameters = json.dumps(manifest.scheme_parameters).encode()

    def parse_parameters(data: bytes) -> object:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return SchemeParameters.from_json(value)

    yield Target("scheme parameters", st.just(parameters), parse_parameters)


def _frames() -> Iterator[Target]:
    for scheme in SCHEMES:
        parameters = SchemeParameters.for_config(scheme, sites=3, max_abs_value=1 << 12)
        header = FrameHeader.of_chunk(
            parameters,
            session=bytes(32),
            round=3,
            sender="alpha",
            chunk_index=0,
            value_count=3000,
        )
        sound = _sound_frame(header)

        def parse(data: bytes, expected: FrameHeader = header) -> object:
            return decode_frame(data, expected)

        yield Target(f"frame of {scheme}", st.just(sound), parse)
    yield Target(
        "packed residues",
        st.binary(min_size=25, max_size=25),
        lambda data: unpack(data, 10, 20),
    )


def _sound_frame(header: FrameHeader) -> bytes:
    import numpy as np

    residues = np.arange(header.residue_count, dtype=np.uint64)
    return encode_frame(header, residues, bytes(header.openers_bytes))


def _secrets() -> Iterator[Target]:
    parameters = SchemeParameters.for_config("ckks-multiparty", sites=3, max_abs_value=1 << 12)
    key = RoundKey.generate(parameters)
    share = key.shares(3, 2)[0].to_bytes()
    yield Target("key share", st.just(share), KeyShare.from_bytes)
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


def _identities() -> Iterator[Target]:
    authority, _ = create_authority("fuzzed")
    parties = [(COORDINATOR_ROLE, "coordinator"), (SITE_ROLE, "alpha")]
    keys = {party: PartyKeys.generate(role) for role, party in parties}
    for role, party in parties:
        authority = authority.enrol(keys[party].entry(role, party, institution=party))
    authority, roster_file = authority.publish()
    root = authority.root_pem
    yield Target("roster", st.just(roster_file), lambda data: read_past_roster(data, root))
    chain = authority.issue(SITE_ROLE, "alpha", keys["alpha"].tls.public_key(), hosts=(), days=1)
    yield Target("certificate", st.just(chain), read_party_certificate)
    entry = keys["alpha"].entry(SITE_ROLE, "alpha", institution="alpha")
    request = write_request(keys["alpha"], "fuzzed", entry)
    yield Target("enrolment request", st.just(request), read_request)


def _log() -> Iterator[Target]:
    key = SigningKey.generate("alpha")
    origin = "fedmrg/fuzzed/alpha"
    note = sign_checkpoint(Checkpoint(origin, 7, bytes(32)), key).encode()
    yield Target(
        "checkpoint",
        st.just(note),
        lambda data: read_checkpoint(
            data.decode("utf-8", "surrogateescape"), origin, key.public_key
        ),
    )
    entry = (
        b'{"seq":3,"site":"alpha","time":"2026-01-02T03:04:05.000006Z","type":"process.started"}'
    )
    yield Target("log entry", st.just(entry), lambda data: decode_entry(data, 3))


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"a parser took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
