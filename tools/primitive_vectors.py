"""Known answers of the primitives of ckks-multiparty, for `make_vectors.py`."""

from __future__ import annotations

import hashlib
from typing import Any

from exact_ring import (
    PLAN,
    PSI,
    SESSION,
    WIDTHS,
    Group,
    N,
    Q,
    Tests,
    crs,
    crs_words,
    down,
    encrypt,
    error_bound,
    error_key,
    errors,
    forward,
    frame_header,
    inverse,
    largest_scale,
    noise_bound,
    packed,
    parameters,
    parameters_digest,
    quadratic,
    reversed_bits,
    sha,
    stream,
    tagged,
    up,
    words,
)


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
        coins = stream(key, 0, 8 * N)
        streams.add("a block's errors", **key_errors(key, errors(coins)))
    wrong = {
        "the stream from counter 1 on": errors(stream(key, 1, 8 * N)),
        "words of big endian": errors(
            b"".join(coins[i : i + 8][::-1] for i in range(0, len(coins), 8))
        ),
        "all 64 bits count": [
            int.from_bytes(coins[i : i + 8], "little").bit_count() - 21
            for i in range(0, len(coins), 8)
        ],
        "the upper 42 bits count": errors(words64([x >> 22 for x in from_words64(coins)])),
        "the sign is the other": [-e for e in errors(coins)],
    }
    for name, e in wrong.items():
        streams.add(name, valid=False, **key_errors(key, e))
    notes = {"Reuse": "one stream of errors for two contents: what the derivation prevents"}
    return notes, [
        {"type": "NoiseFromCoins", "tests": tests.made},
        {"type": "NoiseFromKey", "tests": streams.made},
        error_keys(),
    ]


def key_errors(key: bytes, e: list[int]) -> dict[str, Any]:
    return {"key": key.hex(), "first": e[:16], "sha256": sha(bytes(each % 256 for each in e))}


def words64(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def from_words64(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


def error_keys() -> Group:
    """Keys of chunks' errors; a suggestion, since no other site ever sees one."""
    tests = Tests()
    seed = hashlib.sha256(b"seed of a round key").digest()
    rule, count = [7, 1000003, 0], 2 * N
    values = [each - 10000 for each in quadratic(rule, 20001, count)]
    for index in (0, 1, 65535):
        key = error_key(seed, PLAN, index, values)
        tests.add(f"chunk {index}", index=index, valuesOffset=-10000, errorKey=key.hex())
    other = [each + 1 for each in values]
    key = error_key(seed, PLAN, 1, other)
    tests.add("other values", index=1, valuesOffset=-9999, errorKey=key.hex())
    key = error_key(seed, PLAN, 1, values)
    tests.add(
        "the key of another chunk",
        valid=False, flags=("Reuse",), index=2, valuesOffset=-10000, errorKey=key.hex(),
    )  # fmt: skip
    tests.add(
        "the key of other values",
        valid=False, flags=("Reuse",), index=1, valuesOffset=-9999, errorKey=key.hex(),
    )  # fmt: skip
    key = error_key(seed, hashlib.sha256(b"another plan").digest(), 1, values)
    tests.add(
        "the key of another plan",
        valid=False, flags=("Reuse",), index=1, valuesOffset=-10000, errorKey=key.hex(),
    )  # fmt: skip
    return {
        "type": "ErrorKey",
        "seed": seed.hex(),
        "planHash": PLAN.hex(),
        "valueCount": count,
        "valuesRule": rule,
        "valuesModulus": 20001,
        "tests": tests.made,
    }


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


def budget_file() -> tuple[dict[str, str], list[Group]]:
    tests = Tests()
    for width in WIDTHS:
        for sites, bound in ((1, 1), (2, 2**20), (4, 10000), (4, 2**17), (50, 2**12), (1024, 8)):
            scale = largest_scale(sites, bound, width)
            tests.add(
                f"{sites} sites, {bound} at most, {width} bits",
                wireBits=width, sites=sites, maxAbsValue=bound, scale=scale,
                noiseBound=noise_bound(sites, width), errorBound=error_bound(sites, scale, width),
            )  # fmt: skip
    scale, most = largest_scale(4, 10000, 20), noise_bound(4, 20)
    right = {"scale": scale, "noiseBound": most, "errorBound": error_bound(4, scale, 20)}
    for name, wrong in {
        "a larger scale wraps around": {"scale": scale + 1},
        "the error alone, without the wire's rounding": {"noiseBound": 4 * 21},
        "one site's noise": {"noiseBound": noise_bound(1, 20)},
        "an error where sums are exact": {"errorBound": 1},
    }.items():
        values = {**right, **wrong}
        tests.add(name, valid=False, wireBits=20, sites=4, maxAbsValue=10000, **values)
    return {}, [{"type": "Budget", "q": Q, "tests": tests.made}]


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
    for width in WIDTHS:
        fields = parameters(width, sites=4, bound=10000, norm=10000)
        residues = quadratic([12345, 6789, 3], 2**width)
        head = frame_header(fields, SESSION, 7, "site-a", (0, 1, 1, 1))
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
                "parametersDigest": parameters_digest(fields).hex(),
                "session": SESSION.hex(),
                "round": 7,
                "sender": "site-a",
                "valueCount": 1000,
                "residuesRule": [12345, 6789, 3],
                "tests": tests.made,
            }
        )
    return {}, groups
