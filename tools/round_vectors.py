"""Known answers of whole vectors, of sums and of opening them, for `make_vectors.py`."""

from __future__ import annotations

import hashlib
from typing import Any

from exact_ring import (
    PLAN,
    SESSION,
    WIDTHS,
    Group,
    N,
    Q,
    Tests,
    encrypt,
    error_bound,
    error_key,
    frame_header,
    int64s,
    noise_bound,
    opened,
    packed,
    parameters,
    quadratic,
    sha,
)

CHECK = 64
SECRET_RULES = (
    [271828182, 845904523, 536028747],
    [314159265, 358979323, 846264338],
    [141421356, 237309504, 880168872],
)
SUM_RULE = [sum(column) % Q for column in zip(*SECRET_RULES, strict=True)]
VALUES_RULES = ([7, 1000003, 0], [11, 1000033, 5], [13, 1000037, 1])
VALUES = {"valuesModulus": 4001, "valuesOffset": -2000}
ERROR_KEYS = tuple(hashlib.sha256(b"site %d" % i).digest() for i in range(3))
COUNT = 1000


def values_of(rule: list[int], count: int) -> list[int]:
    return [each - 2000 for each in quadratic(rule, 4001, count)]


def chunks(values: int, blocks_per_chunk: int, check: int = CHECK) -> list[dict[str, Any]]:
    """Each chunk's values [from, to) and blocks."""
    blocks = -(-(values + check) // N)
    return [
        {
            "values": [min(first * N, values), min((first + blocks_per_chunk) * N, values)],
            "firstBlock": first,
            "blocks": min(blocks_per_chunk, blocks - first),
        }
        for first in range(0, blocks, blocks_per_chunk)
    ]


def layout(values: int, blocks_per_chunk: int) -> dict[str, Any]:
    table = chunks(values, blocks_per_chunk)
    coefficients = N * (table[-1]["firstBlock"] + table[-1]["blocks"])
    return {
        "valueCount": values,
        "chunkCount": len(table),
        "lastChunks": table[-2:],
        "padding": [values, coefficients - CHECK],
        "check": [coefficients - CHECK, coefficients],
    }


def layout_file() -> tuple[dict[str, str], list[Group]]:
    groups: list[Group] = []
    for size in (64, 2):
        tests, full = Tests(), size * N
        for count in (
            1, 1983, 1984, 1985, 2047, 2048, 2049, full - 65, full - 64, full - 63, full, full + 1,
            7 * full, 1_000_000, 50_000_000,
        ):  # fmt: skip
            tests.add(f"{count} values", **layout(count, size))
        at_end = layout(full, size)
        lacking = chunks(full, size, check=0)
        for name, wrong in {
            "the check block has no chunk of its own": {
                "chunkCount": 1, "lastChunks": lacking, "padding": [full, full],
                "check": [full - CHECK, full],
            },
            "the check block follows the values": {"check": [full, full + CHECK]},
            "a chunk is always full": {
                "lastChunks": [at_end["lastChunks"][0], {**at_end["lastChunks"][1], "blocks": size}]
            },
        }.items():  # fmt: skip
            tests.add(name, valid=False, flags=("Layout",), **{**at_end, **wrong})
        groups.append(
            {"type": "Layout", "blocksPerChunk": size, "ringDegree": N, "tests": tests.made}
        )
    groups += [vector(width, count) for width, count in ((20, 3 * N - 32), (16, 2 * N), (30, 500))]
    notes = {
        "Layout": "the values end where a chunk does, so the check block needs another chunk",
        "Reuse": "one a_k, or one stream of errors, twice under one key",
        "Cut": "values, zeros or blocks are not where they belong",
    }
    return notes, groups


def vector(width: int, count: int) -> Group:
    """A vector's frames, two blocks a chunk."""
    fields = parameters(width, sites=4, bound=10000, norm=100000, blocks_per_chunk=2)
    seed = hashlib.sha256(b"seed of a round key").digest()
    secret, values = quadratic(SECRET_RULES[0]), values_of(VALUES_RULES[0], count)
    tests, table = Tests(), chunks(count, 2)

    def frame(
        index: int, *, ks: list[int] | None = None, keys: list[int] | None = None,
        blocks: int | None = None, shift: int = 0, key_index: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """What is in a chunk; the arguments make what is wrong."""
        here = table[index]
        size = here["blocks"] if blocks is None else blocks
        part = [0] * shift + values[slice(*here["values"])]
        part = (part + [0] * (size * N))[: size * N]
        key = error_key(seed, PLAN, index if key_index is None else key_index, part)
        residues: list[int] = []
        for place in range(size):
            k = (ks or list(range(here["firstBlock"], here["firstBlock"] + size)))[place]
            v = part[place * N : (place + 1) * N]
            start = (keys or list(range(size)))[place]
            residues += encrypt(
                PLAN, k, secret, key, v, fields["scale"], width, first=start * N
            )  # fmt: skip
        head = frame_header(fields, SESSION, 7, "site-a", (index, len(table), size, 1))
        data = head + packed(residues, width)
        return {
            "index": index, "blocks": size, "errorKey": key.hex(),
            "valuesSha256": sha(int64s(part)), "header": head.hex(),
            "first": residues[:4], "last": residues[-4:],
            "frameBytes": len(data), "frameSha256": sha(data),
        }  # fmt: skip

    for index in range(len(table)):
        tests.add(f"chunk {index}", **frame(index))
    last = len(table) - 1
    size = table[-1]["blocks"]
    if last:
        wrong = frame(last, ks=list(range(size)))
        tests.add("k begins anew in each chunk", valid=False, flags=("Reuse",), **wrong)
        wrong = frame(last, key_index=0)
        tests.add("the errors of another chunk's key", valid=False, flags=("Reuse",), **wrong)
    if size == 2:
        wrong = frame(last, keys=[0, 0])
        tests.add("errors begin anew in each block", valid=False, flags=("Reuse",), **wrong)
        wrong = frame(last, blocks=1)
        tests.add("no room for the check block", valid=False, flags=("Cut",), **wrong)
    wrong = frame(0, shift=CHECK)
    tests.add("the check block comes first", valid=False, flags=("Cut",), **wrong)
    return {
        "type": "Vector",
        "parameters": fields,
        "planHash": PLAN.hex(),
        "session": SESSION.hex(),
        "round": 7,
        "sender": "site-a",
        "secretRule": SECRET_RULES[0],
        "seed": seed.hex(),
        "valueCount": count,
        "valuesRule": VALUES_RULES[0],
        **VALUES,
        "tests": tests.made,
    }


def sums_file() -> tuple[dict[str, str], list[Group]]:
    notes = {
        "Modulus": "residues are added modulo 2^w and nothing else",
        "Sites": "the sum is not of exactly the included sites, each once",
        "Header": "the sum's frame does not say what it is",
        "Key": "S is not the sum of the included sites' keys",
        "Plan": "a_k is of another plan or block",
        "Changed": "residues are changed where a site can tell",
        "Unseen": "a change that no check of the scheme sees: hashes of the frames have to",
        "Rounding": "t is not rounded to the grid as the specification says",
    }
    groups = [addition(width) for width in WIDTHS]
    groups += [opening(width, 10000) for width in WIDTHS] + [opening(20, 2**17)]
    return notes, groups


def addition(width: int) -> Group:
    """The coordinator's part: no key, no ring."""
    rules = [[12345, 6789, 3], [54321, 9876, 2**width - 1], [99991, 1, 77], [1, 2, 2**width - 3]]
    uploads = [quadratic(rule, 2**width) for rule in rules]
    fields = parameters(width, sites=4, bound=10000, norm=100000)
    tests = Tests()

    def add(
        name: str, included: list[int], *flags: str, modulus: int = 2**width,
        used: list[int] | None = None, sender: str = "*aggregate", contributors: int | None = None,
    ) -> None:  # fmt: skip
        which = included if used is None else used
        total = [sum(column) % modulus for column in zip(*(uploads[i] for i in which), strict=True)]
        place = (0, 1, 1, len(included) if contributors is None else contributors)
        head = frame_header(fields, SESSION, 7, sender, place)
        tests.add(
            name, valid=not flags, flags=flags, included=included, first=total[:8], last=total[-4:],
            header=head.hex(), frameSha256=sha(head + packed(total, width)),
        )  # fmt: skip

    add("all four", [0, 1, 2, 3])
    add("three of four", [0, 2, 3])
    add("one", [1])
    add("modulo 2^w - 1", [0, 1, 2, 3], "Modulus", modulus=2**width - 1)
    if width == 30:
        add("modulo q", [0, 1, 2, 3], "Modulus", modulus=Q)
    add("one is missing", [0, 1, 2, 3], "Sites", used=[0, 1, 2])
    add("one counts twice", [0, 1, 2], "Sites", used=[0, 1, 2, 2])
    add("one too many", [0, 2, 3], "Sites", used=[0, 1, 2, 3])
    add("sent as a site's", [0, 1], "Header", sender="site-a")
    add("as many contributors as in an upload", [0, 1], "Header", contributors=1)
    return {
        "type": "Sum", "parameters": fields, "valueCount": COUNT, "session": SESSION.hex(),
        "round": 7, "residuesRules": rules, "tests": tests.made,
    }  # fmt: skip


def opening(width: int, bound: int) -> Group:
    """Of the sum of three sites of four, one block."""
    fields = parameters(width, sites=4, bound=bound, norm=10 * bound)
    scale, most = fields["scale"], noise_bound(3, width)
    plain = [values_of(rule, COUNT) + [0] * (N - COUNT) for rule in VALUES_RULES]
    uploads = [
        encrypt(PLAN, 0, quadratic(rule), key, v, scale, width)
        for rule, key, v in zip(SECRET_RULES, ERROR_KEYS, plain, strict=True)
    ]
    y = [sum(column) % 2**width for column in zip(*uploads, strict=True)]
    exact = [sum(column) for column in zip(*plain, strict=True)][:COUNT]
    tests = Tests()

    def on_wire(units: int) -> int:
        """Units of the ring as residues."""
        return round(units * 2**width / Q)

    def add(
        name: str, *flags: str, valid: bool = False, refused: str = "",
        change: tuple[int, int, int] | None = None, claimed: list[int] | None = None,
        **other: Any,
    ) -> None:  # fmt: skip
        """Claim what a careless site would read, and make sure that the reason is the true one."""
        summed = list(y)
        for j in range(*change[:2]) if change else ():
            summed[j] = (summed[j] + change[2]) % 2**width
        k, rule = other.get("k", 0), other.get("secretRule", SUM_RULE)
        plan = bytes.fromhex(other.get("planHash", PLAN.hex()))
        if other.get("without") is not None:
            left_out = uploads[other["without"]]
            summed = [(a - b) % 2**width for a, b in zip(summed, left_out, strict=True)]
        left, values = opened(plan, k, quadratic(rule), summed, scale, width)
        assert reason(left, values, fields, most) == refused, name
        values = values[:COUNT] if claimed is None else claimed
        rest: dict[str, Any] = dict(other)
        if change:
            rest["change"] = {"from": change[0], "to": change[1], "add": change[2]}
        tests.add(
            name, valid=valid, flags=flags, refused=refused, first=values[:8], last=values[-4:],
            valuesSha256=sha(int64s(values)), **rest,
        )  # fmt: skip

    _, right = opened(PLAN, 0, quadratic(SUM_RULE), y, scale, width)
    add("the sum of three sites", valid=True)
    assert max(abs(a - b) for a, b in zip(right, exact, strict=False)) <= error_bound(
        3, scale, width
    )
    add("an adder changes a value", "Unseen", valid=True, change=(3, 4, on_wire(5 * scale)))
    big = on_wire(2 * most) + 1
    pads = on_wire((error_bound(3, scale, width) + 2) * scale + most) + 1
    add("the last zero is changed", "Changed", refused="check", change=(N - 1, N, big))
    add("the first zero is changed", "Changed", refused="check", change=(N - 64, N - 63, -big))
    add("padding is changed", "Changed", refused="padding", change=(N - 65, N - 64, pads))
    add("a value beyond all bounds", "Changed", refused="values",
        change=(0, 1, on_wire((3 * bound + 500 - exact[0]) * scale)))  # fmt: skip
    add("a block beyond the norm", "Changed", refused="norm",
        change=(0, COUNT, on_wire(2 * bound * scale)))  # fmt: skip
    for i, name in enumerate(("first", "second", "third")):
        rule = [(a - b) % Q for a, b in zip(SUM_RULE, SECRET_RULES[i], strict=True)]
        add(f"the key of all but the {name}", "Key", refused="check", secretRule=rule)
    add("the key of one site", "Key", refused="check", secretRule=SECRET_RULES[0])
    off = [*SUM_RULE[:2], (SUM_RULE[2] + 1) % Q]
    add("a key that is 1 more in each coefficient", "Key", refused="check", secretRule=off)
    add("the sum without the third upload", "Sites", refused="check", without=2)
    other = hashlib.sha256(b"another plan").hexdigest()
    add("another plan", "Plan", refused="check", planHash=other)
    add("another block", "Plan", refused="check", k=1)
    left, _ = opened(PLAN, 0, quadratic(SUM_RULE), y, scale, width)
    cut = [t // scale for t in left[:COUNT]]
    add("cut off, not rounded", "Rounding", claimed=cut)
    if right[:COUNT] != exact:
        add("as if there were no noise", "Rounding", claimed=exact)
    return {
        "type": "Open",
        "parameters": fields,
        "planHash": PLAN.hex(),
        "k": 0,
        "sites": 3,
        "valueCount": COUNT,
        "noiseBound": most,
        "errorBound": error_bound(3, scale, width),
        "secretRule": SUM_RULE,
        "summed": packed(y, width).hex(),
        "uploads": [
            {
                "secretRule": rule,
                "errorKey": key.hex(),
                "valuesRule": values_rule,
                "packedSha256": sha(packed(upload, width)),
            }
            for rule, key, values_rule, upload in zip(
                SECRET_RULES, ERROR_KEYS, VALUES_RULES, uploads, strict=True
            )
        ],
        **VALUES,
        "tests": tests.made,
    }


def reason(left: list[int], values: list[int], fields: dict[str, Any], most: int) -> str:
    """Why a site of this group refuses what it has opened; the first that applies."""
    error = error_bound(3, fields["scale"], int(fields["modulus"]).bit_length() - 1)
    if max(map(abs, left[-CHECK:])) > most:
        return "check"
    if max(map(abs, values)) > 3 * fields["max_abs_value"] + error:
        return "values"
    side = 46  # the root of N, rounded up
    norm = min(fields["max_norm"] + side // 2 + 1, fields["max_abs_value"] * side)
    # (3 norm + error sqrt(N))^2, the root rounded up: no test of this file is that near.
    if sum(v * v for v in values) > (3 * norm + error * side) ** 2:
        return "norm"
    return "padding" if max(map(abs, values[COUNT:])) > error else ""
