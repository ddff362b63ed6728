"""Known answers of Shamir's sharing, for `make_vectors.py`."""

from __future__ import annotations

import hashlib
import hmac

from exact_ring import (
    Group,
    N,
    Q,
    Tests,
    edit,
    packed,
    quadratic,
    sha,
    share,
    share_bytes,
    stream,
    tagged,
    words,
    words30,
)


def shamir_shares(coefficients: list[list[int]], shares: dict[int, list[int]]) -> Tests:
    made = Tests()

    def add(name: str, holder: int, values: list[int], data: bytes, *, valid: bool = True) -> None:
        made.add(
            name, valid=valid, holder=holder, first=values[:8], bytesPrefix=data[:40].hex(),
            bytesSha256=sha(data),
        )  # fmt: skip

    for holder, values in shares.items():
        add(f"holder {holder}", holder, values, share_bytes(holder, values))
    two, turned = shares[2], share(coefficients[::-1], 2)
    add("holders counted from 0", 2, shares[1], share_bytes(2, shares[1]), valid=False)
    add(
        "the secret as the last coefficient",
        2,
        turned,
        share_bytes(2, turned),
        valid=False,
    )
    wrapped = [
        sum(c * 2**m for m, c in enumerate(row)) % 2**30 for row in zip(*coefficients, strict=True)
    ]
    add("modulo 2^30", 2, wrapped, share_bytes(2, wrapped), valid=False)
    swapped = b"FMRGSHR\x01\x02\x00" + packed(two, 30)
    add("the holder of little endian", 2, two, swapped, valid=False)
    wide = b"FMRGSHR\x01\x00\x02" + words(two)
    add("coefficients of 32 bits", 2, two, wide, valid=False)
    return made


def shamir_coefficients() -> Tests:
    drawn = Tests()
    keys = (hashlib.sha256(b"sharing %d" % i).digest() for i in range(1000))
    rejecting = next(
        key for key in keys if any(word >= Q for word in words30(stream(key, 0, 4 * N)))
    )
    for key in (hashlib.sha256(b"sharing").digest(), rejecting):
        all_words = words30(stream(key, 0, 4 * (2 * N + 64)))
        sifted = [word for word in all_words if word < Q]
        flags = ("Rejection",) if key == rejecting else ()

        def add(
            name: str, m: int, part: list[int], *, valid: bool = True,
            key: bytes = key, flags: tuple[str, ...] = flags,
        ) -> None:  # fmt: skip
            drawn.add(
                name, valid=valid, flags=flags, key=key.hex(), m=m, first=part[:8],
                sha256=sha(words(part)),
            )  # fmt: skip

        for m in (1, 2):
            add(f"c_{m}", m, sifted[(m - 1) * N : m * N])
        if key == rejecting:
            add("words at or above q are kept", 2, all_words[N : 2 * N], valid=False)
            reduced = [word % Q for word in all_words]
            add("words at or above q are reduced", 2, reduced[N : 2 * N], valid=False)
        else:
            add("c_1 and c_2 taken in turns", 1, sifted[0 : 2 * N : 2], valid=False)
            add("c_1 comes last", 1, sifted[N : 2 * N], valid=False)
            later = words30(stream(key, 1, 4 * N))
            add("the stream from counter 1 on", 1, later, valid=False)
    return drawn


def shares_of_seed() -> Group:
    """Shares as a site makes them of its key: of one seed always the same."""
    tests = Tests()
    seed, rule = hashlib.sha256(b"seed of a round key").digest(), [314159265, 358979323, 846264338]

    def add(
        name: str, n: int, t: int, holder: int, tag: str, *parts: bytes, valid: bool = True
    ) -> None:
        key = hmac.digest(seed, tagged(tag.encode(), *parts), "sha256")
        drawn = [x for x in words30(stream(key, 0, 4 * (t * N + 64))) if x < Q][: (t - 1) * N]
        rows = [drawn[m * N : (m + 1) * N] for m in range(t - 1)]
        data = share_bytes(holder, share([quadratic(rule), *rows], holder))
        tests.add(name, valid=valid, holders=n, threshold=t, holder=holder, bytesSha256=sha(data))

    for n, t, holder in ((3, 2, 1), (3, 2, 3), (3, 3, 3), (9, 5, 7), (1, 1, 1)):
        tag = f"fedmrg/shamir-coefficients/v1/{n}/{t}"
        add(f"holder {holder} of {n}, any {t}", n, t, holder, tag, b"")
    add("the tag of another cohort", 3, 2, 1, "fedmrg/shamir-coefficients/v1/4/2", b"", valid=False)
    add("no empty part after the tag", 3, 2, 1, "fedmrg/shamir-coefficients/v1/3/2", valid=False)
    return {"type": "SharesFromSeed", "seed": seed.hex(), "secretRule": rule, "tests": tests.made}


def shamir_file() -> tuple[dict[str, str], list[Group]]:
    rules = [[3, 1, 4], [1, 5, 9], [2, 6, 5]]
    coefficients = [quadratic([x * 10**8 for x in rule]) for rule in rules]
    shares = {holder: share(coefficients, holder) for holder in (1, 2, 3, 5, 256, 1024)}
    together = Tests()
    secret = sha(words(coefficients[0]))
    for holders in ([1, 2, 3], [5, 256, 1], [1024, 2, 3], [1, 2, 3, 5, 256]):
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
    right = {"well-formed": good, "the last holder": share_bytes(1024, shares[2])}
    for name, data in {**right, **wrong}.items():
        parsed.add(name, valid=name in right, edit=edit(good, data), sha256=sha(data))
    notes = {
        "Rejection": "at least one word is at or above q and left out",
        "ShareBytes": "the bytes are holder 2's, cut or extended with zeros to edit.length, or "
        "with edit.hex written at edit.offset",
    }
    group = {"threshold": 3, "coefficientRules": [[x * 10**8 for x in rule] for rule in rules]}
    return notes, [
        {"type": "ShamirShares", **group, "tests": shamir_shares(coefficients, shares).made},
        {"type": "ShamirCoefficients", "tests": shamir_coefficients().made},
        shares_of_seed(),
        {"type": "ShamirCombine", **group, "tests": together.made},
        {"type": "ShareBytes", **group, "tests": parsed.made},
    ]
