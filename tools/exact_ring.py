"""The arithmetic of ckks-multiparty in exact Python integers, for the tools that make vectors.

Slow, follows docs/crypto-spec.md line by line and shares no code with the package. AES is the only
thing borrowed, from `cryptography`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

N = 2048
Q = 1073692673
PSI = 42341
WIDTHS = (16, 20, 24, 30)
Group = dict[str, Any]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def words(values: list[int]) -> bytes:
    """Little-endian words of 4 bytes."""
    return b"".join(value.to_bytes(4, "little") for value in values)


def packed(values: list[int], bits: int) -> bytes:
    """Value i in bits [i * bits, (i + 1) * bits) of a little-endian bit string."""
    whole = 0
    for value in reversed(values):
        whole = whole << bits | value
    return whole.to_bytes((len(values) * bits + 7) // 8, "little")


def quadratic(rule: list[int], modulus: int = Q, count: int = N) -> list[int]:
    """Values of ``rule[0] j^2 + rule[1] j + rule[2]``: long inputs in few bytes."""
    return [(rule[0] * j * j + rule[1] * j + rule[2]) % modulus for j in range(count)]


def int64s(values: list[int]) -> bytes:
    """Little-endian words of 8 bytes, two's complement."""
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def tagged(tag: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(
        b"".join(len(part).to_bytes(8, "big") + part for part in (tag, *parts))
    ).digest()


def aes_ctr(key: bytes, counter: int) -> Iterator[bytes]:
    """The key stream, AES block by AES block."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 (one block each)
    while True:
        yield cipher.update(counter.to_bytes(16, "big"))
        counter += 1


def stream(key: bytes, counter: int, size: int) -> bytes:
    made = bytearray()
    for block in aes_ctr(key, counter):
        made += block
        if len(made) >= size:
            return bytes(made[:size])
    raise AssertionError


def words30(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "little") % 2**30 for i in range(0, len(data), 4)]


def crs_words(plan_hash: bytes, k: int) -> list[int]:
    return words30(stream(tagged(b"fedmrg/crs/v1", plan_hash), 516 * k, 8256))


def crs(plan_hash: bytes, k: int) -> list[int]:
    return [word for word in crs_words(plan_hash, k) if word < Q][:N]


def reversed_bits(i: int) -> int:
    return int(f"{i:011b}"[::-1], 2)


def cyclic(values: list[int], root: int) -> list[int]:
    """``sum(values[j] root^(r j))`` for each r, by halves."""
    if len(values) == 1:
        return values
    even, odd = (cyclic(values[k::2], root * root % Q) for k in (0, 1))
    low, high, power = [], [], 1
    for a, b in zip(even, odd, strict=True):
        low.append((a + power * b) % Q)
        high.append((a - power * b) % Q)
        power = power * root % Q
    return low + high


def forward(x: list[int]) -> list[int]:
    natural = cyclic([v * pow(PSI, j, Q) % Q for j, v in enumerate(x)], PSI * PSI % Q)
    made = [natural[reversed_bits(i)] for i in range(N)]
    for i in (0, 1, 1000):  # the definition itself
        point = pow(PSI, 2 * reversed_bits(i) + 1, Q)
        assert made[i] == sum(v * pow(point, j, Q) for j, v in enumerate(x)) % Q
    return made


def inverse(transform: list[int]) -> list[int]:
    natural = [0] * N
    for i, value in enumerate(transform):
        natural[reversed_bits(i)] = value
    twisted = cyclic(natural, pow(PSI, -2, Q))
    return [v * pow(PSI, -j, Q) * pow(N, -1, Q) % Q for j, v in enumerate(twisted)]


def errors(data: bytes) -> list[int]:
    coins = (int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8))
    return [(each % 2**42).bit_count() - 21 for each in coins]


def poly1305(key: bytes, data: bytes) -> bytes:
    """RFC 8439, section 2.5."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i : i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def error_key(seed: bytes, plan_hash: bytes, index: int, values: list[int]) -> bytes:
    """Of the errors of a chunk with these values, zeros included."""
    once = hmac.digest(seed, tagged(b"fedmrg/content-mac/v1", plan_hash), "sha256")
    mac = poly1305(once, int64s(values))
    parts = (plan_hash, index.to_bytes(4, "big"), mac)
    return hmac.digest(seed, tagged(b"fedmrg/error-key/v1", *parts), "sha256")


def down(c: int, width: int) -> int:
    return (c * 2 ** (width + 1) + Q) // (2 * Q) % 2**width


def up(y: int, width: int) -> int:
    return (2 * y * Q + 2**width) // 2 ** (width + 1)


def share(coefficients: list[list[int]], holder: int) -> list[int]:
    return [
        sum(c * holder**m for m, c in enumerate(row)) % Q for row in zip(*coefficients, strict=True)
    ]


def share_bytes(holder: int, values: list[int]) -> bytes:
    return b"FMRGSHR\x01" + holder.to_bytes(2, "big") + packed(values, 30)


def interpolate(points: Sequence[int], values: Sequence[int], at: int) -> int:
    """The value at a place of the polynomial of lowest degree through the points (Lagrange)."""
    total = 0
    for i, (point, value) in enumerate(zip(points, values, strict=True)):
        over, under = value, 1
        for other in (each for k, each in enumerate(points) if k != i):
            over = over * (at - other) % Q
            under = under * (point - other) % Q
        total += over * pow(under, -1, Q)
    return total % Q


def edit(good: bytes, data: bytes) -> dict[str, Any]:
    """What makes `data` of `good`, in few bytes."""
    if len(good) != len(data):
        return {"length": len(data)}
    places = [i for i in range(len(good)) if good[i] != data[i]]
    if not places:
        return {}
    return {"offset": places[0], "hex": data[places[0] : places[-1] + 1].hex()}


def encrypt(
    plan_hash: bytes,
    k: int,
    s: list[int],
    error_key: bytes,
    v: list[int],
    scale: int,
    width: int,
    *,
    first: int = 0,
) -> list[int]:
    """A block; `first` is the place of its first coefficient in the chunk."""
    product = [a * b % Q for a, b in zip(crs(plan_hash, k), forward(s), strict=True)]
    e = errors(stream(error_key, 0, 8 * (first + N))[8 * first :])
    return [
        down((mask + noise + scale * value) % Q, width)
        for mask, noise, value in zip(inverse(product), e, v, strict=True)
    ]


def opened(
    plan_hash: bytes, k: int, s: list[int], y: list[int], scale: int, width: int
) -> tuple[list[int], list[int]]:
    """What is left of summed residues under the sum's key, and the values that it stands for."""
    product = [a * b % Q for a, b in zip(crs(plan_hash, k), forward(s), strict=True)]
    left = []
    for residue, mask in zip(y, inverse(product), strict=True):
        t = (up(residue, width) - mask) % Q
        left.append(t - Q if t > Q // 2 else t)
    return left, [(2 * t + scale) // (2 * scale) for t in left]


def noise_bound(sites: int, width: int) -> int:
    """E(n)."""
    always = sites * (21 + Fraction(Q, 2 ** (width + 1))) + Fraction(1, 2)
    variance = sites * (Fraction(21, 2) + Fraction(Q, 2**width) ** 2 / 12) + Fraction(1, 12)
    tail = math.isqrt(math.floor(121 * variance))  # not above 11 sqrt(var)
    while (Fraction(tail) - Fraction(1, 2)) ** 2 < 121 * variance:
        tail += 1
    return min(math.ceil(always), tail)


def largest_scale(sites: int, bound: int, width: int) -> int:
    """D."""
    return ((Q - 1) // 2 - noise_bound(sites, width)) // (sites * bound)


def error_bound(sites: int, scale: int, width: int) -> int:
    """By how many grid steps an opened value may err."""
    return (2 * noise_bound(sites, width) + scale) // (2 * scale)


def parameters(
    width: int, *, sites: int, bound: int, norm: int, blocks_per_chunk: int = 64
) -> dict[str, Any]:
    """Scheme parameters as they travel."""
    return {
        "blocks_per_chunk": blocks_per_chunk, "digits": 1, "max_abs_value": bound,
        "max_norm": norm, "modulus": str(2**width), "ring_degree": N,
        "scale": largest_scale(sites, bound, width), "scheme": "ckks-multiparty", "sites": sites,
    }  # fmt: skip


def parameters_digest(fields: dict[str, Any]) -> bytes:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return tagged(b"fedmrg/scheme-parameters/v1", canonical)


def frame_header(
    fields: dict[str, Any],
    session: bytes,
    number: int,
    sender: str,
    place: tuple[int, int, int, int],
) -> bytes:
    """Place: chunk index, chunk count, blocks, contributors."""
    head = b"FMRGFRM\x01" + b"\x03" + parameters_digest(fields) + session
    head += number.to_bytes(4, "big") + bytes([len(sender)]) + sender.encode()
    return head + b"".join(x.to_bytes(4, "big") for x in place)


class Tests:
    """Tests of one file, numbered."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def add(
        self, comment: str, *, valid: bool = True, flags: tuple[str, ...] = (), **rest: Any
    ) -> None:
        result = "valid" if valid else "invalid"
        head = {"tcId": len(self.made) + 1, "comment": comment, "flags": list(flags)}
        self.made.append({**head, **rest, "result": result})


PLAN = hashlib.sha256(b"fedmrg test vector plan").digest()
SESSION = hashlib.sha256(b"session").digest()
