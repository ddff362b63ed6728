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
    edit,
    encrypt,
    error_bound,
    errors,
    forward,
    frame_header,
    int64s,
    inverse,
    largest_scale,
    noise_bound,
    packed,
    parameters,
    parameters_digest,
    quadratic,
    reversed_bits,
    sha,
    share,
    share_bytes,
    stream,
    tagged,
    up,
    words,
    words30,
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
