"""One site's key of one round."""

from __future__ import annotations

import hmac
import threading
from typing import Final, NoReturn

from cryptography.hazmat.primitives.poly1305 import Poly1305

from fedmrg_secure.core.canonical import HASH_BYTES, tagged_hash
from fedmrg_secure.core.types import IntVector
from fedmrg_secure.crypto.errors import KeySpent, KeyUnusable, ResidueOutOfRange
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.multiparty import shamir
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.secret import PACKED_BYTES, SecretPolynomial
from fedmrg_secure.crypto.multiparty.shares import KeyShare
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters

_MAGIC: Final = b"FMRGMPK\x01"
_SEED_BYTES: Final = 32
_UNBOUND: Final = bytes(HASH_BYTES)
_SECRET_BYTES: Final = len(_MAGIC) + 2 * HASH_BYTES + _SEED_BYTES + PACKED_BYTES


class RoundKey:
    """A site's secret s_i of one round, with the seed of its errors and of its sharing.

    Errors and sharing polynomials are pseudo-random functions of the seed (HMAC-SHA256, then
    AES-256 in counter mode), so that whoever is killed and goes on from the stored key sends the
    same bytes again: a second, different error on the same a_k and values would halve the noise,
    and a second sharing would give shares that do not fit together.

    Guarantee:
        One key encrypts for one plan only, and each chunk for one content only, within a process
        and, where the caller stored the key after `bind`, between processes for the plan. What no
        process remembers is the content of a chunk: store the frames before one is sent.

    Assumes:
        `to_secret_bytes` lie on a disk that only this site reads.
    """

    def __init__(
        self, secret: SecretPolynomial, seed: SecretBytes, parameters_digest: bytes, plan: bytes
    ) -> None:
        """Use `generate` or `from_secret_bytes`."""
        self._secret = secret
        self._seed = seed
        self._parameters_digest = parameters_digest
        self._plan = plan
        self._contents: dict[int, bytes] = {}
        self._lock = threading.Lock()

    @classmethod
    def generate(cls, parameters: SchemeParameters) -> RoundKey:
        """A fresh key: s uniform modulo q in each coefficient, from the operating system."""
        return cls(
            SecretPolynomial.uniform(),
            SecretBytes.random(_SEED_BYTES),
            _digest(parameters),
            _UNBOUND,
        )

    @classmethod
    def from_secret_bytes(cls, stored: SecretBytes, parameters: SchemeParameters) -> RoundKey:
        """The inverse of `to_secret_bytes`.

        Raises:
            KeyUnusable: another length, version or parameter set.
        """
        revealed = stored.reveal()
        header = _MAGIC + _digest(parameters)
        if len(revealed) != _SECRET_BYTES or not revealed.startswith(header):
            raise KeyUnusable("these bytes are no round key of this session's parameters")
        plan_end = len(header) + HASH_BYTES
        seed_end = plan_end + _SEED_BYTES
        try:
            secret = SecretPolynomial.unpack(revealed[seed_end:])
        except ResidueOutOfRange:
            raise KeyUnusable("a coefficient of the round key is not below q") from None
        return cls(
            secret,
            SecretBytes(revealed[plan_end:seed_end]),
            header[len(_MAGIC) :],
            revealed[len(header) : plan_end],
        )

    def to_secret_bytes(self) -> SecretBytes:
        """The key for a file of mode 0600.

        Layout: ``"FMRGMPK" | version 1 | parameters digest 32 | plan hash 32, or zeros before
        `bind` | seed 32 | s, 7,680``.
        """
        return SecretBytes(
            b"".join(
                (
                    _MAGIC,
                    self._parameters_digest,
                    self._plan,
                    self._seed.reveal(),
                    self._secret.pack(),
                )
            )
        )

    def bind(self, plan_hash: bytes, parameters: SchemeParameters) -> None:
        """Tie the key to a plan, which names its round; the scheme object calls it too.

        Raises:
            KeySpent: it is tied to another.
            KeyUnusable: it was made for other parameters.
        """
        if len(plan_hash) != HASH_BYTES or plan_hash == _UNBOUND:
            raise ValueError("a plan's hash has 32 bytes, not all of them zero")
        if self._parameters_digest != _digest(parameters):
            raise KeyUnusable("this round key was made for other parameters")
        with self._lock:
            if self._plan not in (_UNBOUND, plan_hash):
                raise KeySpent(
                    "this round key belongs to another plan", hint="make a new key for each round"
                )
            self._plan = plan_hash

    def shares(self, count: int, threshold: int) -> tuple[KeyShare, ...]:
        """Shamir shares of s modulo q, coefficient by coefficient; the same ones at each call.

        Args:
            count: holders, 1 to `MAX_SITES`; holder h's share is the value at h, from 1.
            threshold: shares that are needed, 1 to count.

        Guarantee:
            Any ``threshold - 1`` shares say nothing about s to whoever cannot break AES-256.
        """
        tag = f"fedmrg/shamir-coefficients/v1/{count}/{threshold}"
        shares = shamir.split(
            self._secret.coefficients, count, threshold, key=self._derive(tag, b"")
        )
        return tuple(
            KeyShare(holder, SecretPolynomial(share)) for holder, share in enumerate(shares, 1)
        )

    def transform(self) -> RingVector:
        """The transform of s, shape (N,), uint32; not a copy."""
        return self._secret.transform

    def error_key(self, index: int, values: IntVector) -> bytes:
        """The AES key of the errors of chunk `index` with these values, 32 bytes.

        Args:
            index: of the chunk.
            values: all of the chunk, padding included, int64.

        Raises:
            KeySpent: this chunk was encrypted with other values.
        """
        content = Poly1305.generate_tag(
            self._derive("fedmrg/content-mac/v1", self._plan), values.data.cast("B")
        )
        with self._lock:
            if self._contents.setdefault(index, content) != content:
                raise KeySpent(
                    f"chunk {index} was encrypted with other values under this round key",
                    hint="send what was encrypted first, or sit this round out",
                )
        return self._derive("fedmrg/error-key/v1", self._plan, index.to_bytes(4, "big"), content)

    def destroy(self) -> None:
        """Overwrite the key; whatever needs it raises `SecretUnavailable` from now on."""
        self._secret.wipe()
        self._seed.wipe()
        self._contents.clear()

    def _derive(self, tag: str, *parts: bytes) -> bytes:
        return hmac.digest(self._seed.reveal(), tagged_hash(tag, *parts), "sha256")

    def __repr__(self) -> str:
        return "RoundKey(<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("a round key cannot be pickled or copied")


def _digest(parameters: SchemeParameters) -> bytes:
    if parameters.scheme != CKKS_MULTIPARTY:
        raise ValueError(f"these are parameters of {parameters.scheme}")
    return bytes.fromhex(parameters.digest)
