"""Writes protocols/vectors/v1 from exact Python integers; with --check only compares.

The arithmetic here is slow, follows docs/crypto-spec.md line by line and shares no code with the
package, whose tests read the files. AES is the only thing borrowed, from `cryptography`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from ledger_vectors import ledgers_file
from sealed_state_vectors import snapshots_file

FOLDER = Path(__file__).resolve().parent.parent / "protocols" / "vectors" / "v1"
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


def quadratic(rule: list[int], modulus: int = Q) -> list[int]:
    """Values of ``rule[0] j^2 + rule[1] j + rule[2]``: long inputs in few bytes."""
    return [(rule[0] * j * j + rule[1] * j + rule[2]) % modulus for j in range(N)]


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


def edit(good: bytes, data: bytes) -> dict[str, Any]:
    """What makes `data` of `good`, in few bytes."""
    if len(good) != len(data):
        return {"length": len(data)}
    places = [i for i in range(len(good)) if good[i] != data[i]]
    if not places:
        return {}
    return {"offset": places[0], "hex": data[places[0] : places[-1] + 1].hex()}


def encrypt(
    plan_hash: bytes, k: int, s: list[int], error_key: bytes, v: list[int], scale: int, width: int
) -> list[int]:
    product = [a * b % Q for a, b in zip(crs(plan_hash, k), forward(s), strict=True)]
    e = errors(stream(error_key, 0, 8 * N))
    return [
        down((mask + noise + scale * value) % Q, width)
        for mask, noise, value in zip(inverse(product), e, v, strict=True)
    ]


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


def crs_file() -> tuple[dict[str, str], list[Group]]:
    tests = Tests()
    rejecting = next(k for k in range(1000) if any(word >= Q for word in crs_words(PLAN, k)[:N]))
    for k in (0, 1, 63, 64, 24414, 2**32 - 1, rejecting):
        a = crs(PLAN, k)
        flags = ("Rejection",) if k == rejecting else ()
        tests.add(f"block {k}", flags=flags, k=k, first=a[:8], last=a[-4:], sha256=sha(words(a)))
    unsifted = crs_words(PLAN, rejecting)[:N]
    tests.add(
        "words at or above q are kept",
        valid=False, flags=("Rejection",), k=rejecting, first=unsifted[:8], last=unsifted[-4:],
        sha256=sha(words(unsifted)),
    )  # fmt: skip
    a = crs(PLAN, 1)
    tests.add(
        "the block of another index",
        valid=False, k=2, first=a[:8], last=a[-4:], sha256=sha(words(a)),
    )  # fmt: skip
    notes = {"Rejection": "at least one word is at or above q and left out"}
    key = tagged(b"fedmrg/crs/v1", PLAN).hex()
    return notes, [{"type": "Crs", "planHash": PLAN.hex(), "key": key, "tests": tests.made}]


def ntt_file() -> tuple[dict[str, str], list[Group]]:
    tests = Tests()
    inputs = {"constant 1": [0, 0, 1], "X^j j": [0, 1, 0], "quadratic": [987654321, 123456789, 5]}
    for name, rule in inputs.items():
        x = quadratic(rule)
        for direction, transform in (("forward", forward), ("inverse", inverse)):
            y = transform(x)
            tests.add(
                f"{direction} of {name}",
                direction=direction, rule=rule, first=y[:8], last=y[-4:], sha256=sha(words(y)),
            )  # fmt: skip
    y = forward(quadratic(inputs["quadratic"]))
    y = [y[reversed_bits(i)] for i in range(N)]
    tests.add(
        "natural order of the points",
        valid=False, flags=("Order",), direction="forward", rule=inputs["quadratic"], first=y[:8],
        last=y[-4:], sha256=sha(words(y)),
    )  # fmt: skip
    notes = {"Order": "place i must hold the value at psi^(2 r(i) + 1), r reversing 11 bits"}
    return notes, [{"type": "Ntt", "ringDegree": N, "q": Q, "psi": PSI, "tests": tests.made}]


def noise_file() -> tuple[dict[str, str], list[Group]]:
    tests, streams = Tests(), Tests()
    cases = {
        "no coins": bytes(8),
        "all coins": (2**42 - 1).to_bytes(8, "little"),
        "bits 42 to 63 do not count": bytes(5) + b"\xfc\xff\xff",
        "several": hashlib.sha512(b"coins").digest(),
    }
    for name, data in cases.items():
        tests.add(name, coins=data.hex(), errors=errors(data))
    tests.add("64 coins instead of 42", valid=False, coins="ff" * 8, errors=[43])
    tests.add("big endian", valid=False, coins=f"{2**42 - 1:016x}", errors=[21])
    for seed in (b"error key 1", b"error key 2"):
        key = hashlib.sha256(seed).digest()
        e = errors(stream(key, 0, 8 * N))
        digest = sha(bytes(each % 256 for each in e))
        streams.add("a block's errors", key=key.hex(), first=e[:16], sha256=digest)
    return {}, [
        {"type": "NoiseFromCoins", "tests": tests.made},
        {"type": "NoiseFromKey", "tests": streams.made},
    ]


def shamir_file() -> tuple[dict[str, str], list[Group]]:
    rules = [[3, 1, 4], [1, 5, 9], [2, 6, 5]]
    coefficients = [quadratic([x * 10**8 for x in rule]) for rule in rules]
    shares = {holder: share(coefficients, holder) for holder in (1, 2, 3, 5, 256)}
    made = Tests()
    for holder, values in shares.items():
        data = share_bytes(holder, values)
        made.add(
            f"holder {holder}",
            holder=holder, first=values[:8], bytesPrefix=data[:40].hex(), bytesSha256=sha(data),
        )  # fmt: skip
    drawn = Tests()
    key = hashlib.sha256(b"sharing").digest()
    two = [word for word in words30(stream(key, 0, 4 * (2 * N + 64))) if word < Q][: 2 * N]
    for m in (1, 2):
        part = two[(m - 1) * N : m * N]
        drawn.add(f"c_{m}", key=key.hex(), m=m, first=part[:8], sha256=sha(words(part)))
    together = Tests()
    secret = sha(words(coefficients[0]))
    for holders in ([1, 2, 3], [5, 256, 1], [1, 2, 3, 5, 256]):
        together.add(f"holders {holders}", holders=holders, secretSha256=secret)
    together.add("too few", valid=False, holders=[1, 2], secretSha256=secret)
    together.add("a holder twice", valid=False, holders=[1, 2, 2], secretSha256=secret)
    parsed = Tests()
    good = share_bytes(2, shares[2])
    wrong = {
        "empty": b"",
        "a byte too few": good[:-1],
        "a byte too many": good + b"\0",
        "holder 0": share_bytes(0, shares[2]),
        "holder 1025": share_bytes(1025, shares[2]),
        "another version": good[:7] + b"\x02" + good[8:],
        "a coefficient that is q": share_bytes(2, [Q, *shares[2][1:]]),
        "the last coefficient is 2^30 - 1": share_bytes(2, [*shares[2][:-1], 2**30 - 1]),
    }
    for name, data in {"well-formed": good, **wrong}.items():
        parsed.add(name, valid=data is good, edit=edit(good, data), sha256=sha(data))
    notes = {
        "ShareBytes": "the bytes are holder 2's, cut or extended with zeros to edit.length, or "
        "with edit.hex written at edit.offset"
    }
    group = {"threshold": 3, "coefficientRules": [[x * 10**8 for x in rule] for rule in rules]}
    return notes, [
        {"type": "ShamirShares", **group, "tests": made.made},
        {"type": "ShamirCoefficients", "tests": drawn.made},
        {"type": "ShamirCombine", **group, "tests": together.made},
        {"type": "ShareBytes", **group, "tests": parsed.made},
    ]


def switching_file() -> tuple[dict[str, str], list[Group]]:
    groups: list[Group] = []
    for width in WIDTHS:
        tests = Tests()
        step = Q / 2**width
        edges = [0, 1, Q // 2, Q // 2 + 1, Q - 1, int(step / 2), int(step / 2) + 1]
        edges += [Q - 1 - int(step / 2), Q - int(step / 2), 123456789, 987654321]
        for c in sorted(set(edges)):
            tests.add(f"down {c}", direction="down", value=c, output=down(c, width))
        for y in (0, 1, 2 ** (width - 1), 2 ** (width - 1) - 1, 2**width - 1):
            tests.add(f"up {y}", direction="up", value=y, output=up(y, width))
        c = next(c for c in range(123456789, Q) if down(c, width) != (c << width) // Q)
        cut = (c << width) // Q
        tests.add("cut off, not rounded", valid=False, direction="down", value=c, output=cut)
        y = next(y for y in range(1, 2**width) if up(y, width) != y * Q >> width)
        tests.add("cut off", valid=False, direction="up", value=y, output=y * Q >> width)
        groups.append({"type": "Switching", "wireBits": width, "q": Q, "tests": tests.made})
    return {}, groups


def encrypt_file() -> tuple[dict[str, str], list[Group]]:
    groups: list[Group] = []
    rule, values_rule = [271828182, 845904523, 536028747], [7, 1000003, 0]
    s = quadratic(rule)
    v = [each - 10000 for each in quadratic(values_rule, 20001)]
    error_key = hashlib.sha256(b"encrypt").digest()
    for width in WIDTHS:
        tests = Tests()
        for k, scale in ((0, 13000), (77, 1)):
            y = encrypt(PLAN, k, s, error_key, v, scale, width)
            digest = sha(packed(y, width))
            tests.add(f"block {k}", k=k, scale=scale, first=y[:8], packedSha256=digest)
        tests.add(
            "the a_k of another block",
            valid=False, k=78, scale=1, first=y[:8], packedSha256=digest,
        )  # fmt: skip
        groups.append(
            {
                "type": "EncryptBlock",
                "wireBits": width,
                "planHash": PLAN.hex(),
                "secretRule": rule,
                "errorKey": error_key.hex(),
                "valuesRule": values_rule,
                "valuesModulus": 20001,
                "valuesOffset": -10000,
                "tests": tests.made,
            }
        )
    return {}, groups


def frames_file() -> tuple[dict[str, str], list[Group]]:
    groups: list[Group] = []
    for width, scale in ((16, 13420), (20, 13421), (24, 13421), (30, 13421)):
        fields: dict[str, Any] = {
            "blocks_per_chunk": 64, "digits": 1, "max_abs_value": 10000, "max_norm": 10000,
            "modulus": str(2**width), "ring_degree": N, "scale": scale,
            "scheme": "ckks-multiparty", "sites": 4,
        }  # fmt: skip
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        digest = tagged(b"fedmrg/scheme-parameters/v1", canonical)
        session = hashlib.sha256(b"session").digest()
        residues = quadratic([12345, 6789, 3], 2**width)
        place = b"".join(x.to_bytes(4, "big") for x in (0, 1, 1, 1))
        head = b"FMRGFRM\x01" + b"\x03" + digest + session + (7).to_bytes(4, "big")
        head += bytes([6]) + b"site-a" + place
        frame = head + packed(residues, width)
        tests = Tests()
        tests.add("one block of one site", header=head.hex(), bytes=len(frame), sha256=sha(frame))
        for name, at in (("another version", 7), ("another scheme", 8), ("another session", 41)):
            changed = bytearray(frame)
            changed[at] ^= 1
            tests.add(
                name, valid=False, header=bytes(changed[: len(head)]).hex(), bytes=len(frame),
                sha256=sha(bytes(changed)),
            )  # fmt: skip
        tests.add(
            "a byte too few", valid=False, header=head.hex(), bytes=len(frame) - 1,
            sha256=sha(frame[:-1]),
        )  # fmt: skip
        groups.append(
            {
                "type": "Frame",
                "parameters": fields,
                "parametersDigest": digest.hex(),
                "session": session.hex(),
                "round": 7,
                "sender": "site-a",
                "valueCount": 1000,
                "residuesRule": [12345, 6789, 3],
                "tests": tests.made,
            }
        )
    return {}, groups


FILES: dict[str, Callable[[], tuple[dict[str, str], list[Group]]]] = {
    "crs": crs_file,
    "ntt": ntt_file,
    "noise": noise_file,
    "shamir": shamir_file,
    "switching": switching_file,
    "encrypt": encrypt_file,
    "frames": frames_file,
    "snapshots": snapshots_file,
    "ledgers": ledgers_file,
}
SOURCE = "docs/crypto-spec.md"
SOURCES = {"ledgers": "protocols/SPEC.md"}
ALGORITHMS = {"snapshots": "sealed-state", "ledgers": "privacy-ledger"}


def main() -> int:
    stale = []
    for name, make in FILES.items():
        notes, groups = make()
        text = json.dumps(
            {
                "algorithm": f"{ALGORITHMS.get(name, 'ckks-multiparty')}/{name}",
                "schema": "fedmrg_vectors_v1",
                "numberOfTests": sum(len(group["tests"]) for group in groups),
                "header": [f"Made by tools/make_vectors.py from {SOURCES.get(name, SOURCE)}."],
                "notes": notes,
                "testGroups": groups,
            },
            indent=1,
        )
        path = FOLDER / f"{name}.json"
        if "--check" not in sys.argv[1:]:
            path.write_text(text + "\n", encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text + "\n":
            stale.append(path.name)
    if stale:
        sys.stderr.write(f"not what tools/make_vectors.py makes: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
