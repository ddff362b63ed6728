"""Known answers of sealed shares and of wrong ones, for `make_vectors.py`."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from exact_ring import (
    PLAN,
    SESSION,
    Group,
    N,
    Q,
    Tests,
    encrypt,
    interpolate,
    noise_bound,
    opened,
    packed,
    parameters,
    quadratic,
    sha,
    share,
    share_bytes,
    tagged,
    words,
)
from round_vectors import (
    COUNT,
    ERROR_KEYS,
    SECRET_RULES,
    SUM_RULE,
    VALUES_RULES,
    values_of,
)
from sealed_state_vectors import hpke, secret

Change = dict[str, Any]


def decoding_file() -> tuple[dict[str, str], list[Group]]:
    notes = {
        "TooMany": "more values are wrong than half of the spare ones: refused, nobody is named",
        "WrongAnswer": "others are named than those whose values are wrong",
        "TooFew": "fewer shares than the threshold, or one twice",
        "CheckBlock": "the shares agree, or are too few to say who is wrong; the check block tells",
    }
    return notes, [words_of_a_code(), wrong_shares(), with_check_block()]


def nearest(points: list[int], values: list[int], k: int) -> tuple[int, ...] | None:
    """The wrong places, found by trying every subset of k."""
    for subset in itertools.combinations(range(len(points)), k):
        base = [points[i] for i in subset], [values[i] for i in subset]
        wrong = tuple(i for i, point in enumerate(points) if interpolate(*base, point) != values[i])
        if 2 * len(wrong) <= len(points) - k:
            return wrong
    return None


def words_of_a_code() -> Group:
    tests = Tests()

    def add(
        name: str, points: list[int], polynomial: list[int], changes: dict[int, int],
        *flags: str, claimed: list[int] | None = None,
    ) -> None:  # fmt: skip
        values = [sum(c * x**m for m, c in enumerate(polynomial)) % Q for x in points]
        for place, difference in changes.items():
            values[place] = (values[place] + difference) % Q
        found = nearest(points, values, len(polynomial))
        assert found == (None if "TooMany" in flags else tuple(sorted(changes))), name
        places = sorted(changes) if claimed is None else claimed
        tests.add(
            name, valid=not flags, flags=flags, dimension=len(polynomial), points=points,
            values=values, wrongPlaces=places,
        )  # fmt: skip

    line, cubic = [123456789, 987654321], [5, Q - 1, 271828182, 314159265]
    nine = list(range(1, 10))
    add("no wrong value", nine, cubic, {})
    add("no spare value", [1, 2, 3, 4], cubic, {})
    add("zero everywhere but once", [1, 2, 3, 4, 5], [0, 0, 0], {2: 1})
    add("one of nine", nine, cubic, {4: 1})
    add("two of nine", nine, cubic, {0: Q - 1, 8: 123})
    add("other points, in no order", [1024, 7, 300, 12, 1], line, {1: 99})
    add("a constant", [3, 1, 2], [77], {2: 5})
    add("three of nine", nine, cubic, {0: 1, 3: 2, 6: 3}, "TooMany")
    add("one of five with one spare", [1, 2, 3, 4, 5], cubic, {2: 1}, "TooMany")
    add("the first is named instead", nine, cubic, {4: 1}, "WrongAnswer", claimed=[0])
    add("nobody is named", nine, cubic, {4: 1}, "WrongAnswer", claimed=[])
    add("one of two is named", nine, cubic, {2: 4, 5: 4}, "WrongAnswer", claimed=[2])
    add("places counted from 1", nine, cubic, {4: 1}, "WrongAnswer", claimed=[5])
    return {"type": "ReedSolomon", "q": Q, "tests": tests.made}


def changed(rules: list[list[int]], holders: list[int], changes: list[Change]) -> list[list[int]]:
    """The holders' values, with what the changes add."""
    coefficients = [quadratic(rule) for rule in rules]
    made = [share(coefficients, holder) for holder in holders]
    for change in changes:
        values = made[holders.index(change["holder"])]
        added = quadratic(change["addRule"]) if "addRule" in change else [change["add"]]
        for place, each in enumerate(added, change.get("place", 0)):
            values[place] = (values[place] + each) % Q
    return made


def secret_of(holders: list[int], values: list[list[int]], threshold: int) -> list[int]:
    """From the first ones alone, whether they are right or not."""
    used = holders[:threshold]
    return [interpolate(used, row, 0) for row in zip(*values[:threshold], strict=True)]


def wrong_shares() -> Group:
    rules = [SUM_RULE, [5, 7, 11], [13 * 10**7, 17, 19]]
    tests = Tests()
    true = sha(words(quadratic(rules[0])))

    def add(
        name: str, holders: list[int], changes: list[Change], *flags: str,
        claimed: list[int] | None = None, secret_sha: str = true,
    ) -> None:  # fmt: skip
        wrong = sorted({change["holder"] for change in changes}) if claimed is None else claimed
        tests.add(
            name, valid=not flags, flags=flags, holders=holders, changes=changes,
            wrongHolders=wrong, secretSha256=secret_sha,
        )  # fmt: skip

    five, seven = [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7]
    first = {"holder": 1, "place": 0, "add": 1}
    late = {"holder": 4, "place": N - 1, "add": Q - 1}
    whole = {"holder": 2, "addRule": SECRET_RULES[2]}
    add("all are right", five, [])
    add("the first coefficient of one share", five, [first])
    add("the last coefficient of one share", five, [late])
    add("a share of another polynomial", five, [whole])
    add("one share wrong in two places", five, [first, {**first, "place": 9}])
    add("two shares of seven, in different places", seven, [first, late])
    add("two shares of seven, in the same place", seven, [first, {**first, "holder": 7}])
    add("holders in another order", [7, 1024, 1, 30, 2], [{**late, "holder": 30}])
    add("two shares of five", five, [first, whole], "TooMany")
    add("two shares of five, in different coefficients", five, [first, late], "TooMany")
    add("one share of four", [1, 2, 3, 4], [first], "TooMany")
    add("too few", [1, 2], [], "TooFew")
    add("a holder twice", [1, 2, 3, 3], [], "TooFew")
    values = changed(rules, five, [first])
    false = sha(words(secret_of(five, values, 3)))
    add("the first three are believed", five, [first], "WrongAnswer", claimed=[], secret_sha=false)
    add("the first three are believed, the others named", five, [first], "WrongAnswer",
        claimed=[4, 5], secret_sha=false)  # fmt: skip
    add("the secret is right, nobody is named", five, [late], "WrongAnswer", claimed=[])
    add("another holder is named", five, [late], "WrongAnswer", claimed=[5])
    return {"type": "WrongShares", "threshold": 3, "coefficientRules": rules, "tests": tests.made}


def with_check_block() -> Group:
    """Share sums and the last chunk of the sum that they belong to."""
    fields = parameters(20, sites=4, bound=10000, norm=100000)
    summed = [0] * N
    for rule, key, values in zip(SECRET_RULES, ERROR_KEYS, VALUES_RULES, strict=True):
        plain = values_of(values, COUNT) + [0] * (N - COUNT)
        upload = encrypt(PLAN, 0, quadratic(rule), key, plain, fields["scale"], 20)
        summed = [(a + b) % 2**20 for a, b in zip(summed, upload, strict=True)]
    rules = [SUM_RULE, [5, 7, 11], [13 * 10**7, 17, 19]]
    tests = Tests()
    true = sha(words(quadratic(rules[0])))

    def add(
        name: str, holders: list[int], changes: list[Change], *flags: str,
        claimed: list[int] | None = None,
    ) -> None:  # fmt: skip
        values = changed(rules, holders, changes)
        found = []
        for subset in itertools.combinations(range(len(holders)), 3):
            used = [holders[i] for i in subset], [values[i] for i in subset]
            left, _ = opened(PLAN, 0, secret_of(*used, 3), summed, 1, 20)
            if max(map(abs, left[-64:])) <= noise_bound(3, 20):
                found.append({holders[i] for i in subset})
        bad = {change["holder"] for change in changes}
        right = set(holders) - bad
        told = sorted(bad) if 2 * len(bad) <= len(holders) - 3 + 1 else None
        assert found == ([right] if len(right) == 3 else []), name
        tests.add(
            name, valid=not flags, flags=flags, holders=holders, changes=changes,
            wrongHolders=told if claimed is None else claimed, secretSha256=true,
        )  # fmt: skip

    one = {"holder": 2, "place": 1500, "add": 1}
    other = {"addRule": [Q - x for x in SECRET_RULES[0]]}
    add("three shares, all right", [1, 2, 3], [])
    add("one of four", [1, 2, 3, 4], [one])
    add("one of four is a sum over other sites", [1, 2, 3, 4], [{**other, "holder": 3}])
    add("two of five", [1, 2, 3, 4, 5], [one, {**other, "holder": 5}])
    add("one of three", [1, 2, 3], [one], "CheckBlock")
    add("two of four", [1, 2, 3, 4], [one, {**one, "holder": 1, "add": 5}], "CheckBlock")
    everywhere = [{**other, "holder": holder} for holder in (1, 2, 3, 4)]
    add("all are sums over other sites", [1, 2, 3, 4], everywhere, "CheckBlock", claimed=[])
    add("another holder is named", [1, 2, 3, 4], [one], "WrongAnswer", claimed=[1])
    return {
        "type": "WrongSharesChecked",
        "threshold": 3,
        "coefficientRules": rules,
        "parameters": fields,
        "planHash": PLAN.hex(),
        "sites": 3,
        "valueCount": COUNT,
        "noiseBound": noise_bound(3, 20),
        "summed": packed(summed, 20).hex(),
        "tests": tests.made,
    }


SHARE, SUM = "round-key-share", "round-key-share-sum"
BOUND = {
    "planHash": PLAN.hex(), "session": SESSION.hex(), "round": 7, "sender": "site-a",
    "recipient": "site-b",
}  # fmt: skip


def info(purpose: str, **changes: Any) -> bytes:
    said = {**BOUND, **changes}
    return tagged(
        b"fedmrg/hpke-info/v1",
        f"{purpose}/{said['planHash']}".encode(),
        bytes.fromhex(said["session"]),
        said["round"].to_bytes(8, "big"),
        said["sender"].encode(),
        said["recipient"].encode(),
    )


def shares_file() -> tuple[dict[str, str], list[Group]]:
    notes = {
        "Bytes": "the info is not made of these bytes",
        "Context": "the share is bound to something else",
        "Sealed": "what was sealed is not there in full, or not for this key",
        "Holder": "what is sealed is soundly sealed, but no share of this holder",
    }
    return notes, [infos(), sealed(SHARE, 2), sealed(SUM, 1)]


def infos() -> Group:
    tests = Tests()
    for purpose in (SHARE, SUM):
        for name, changes in {
            "a site to another": {},
            "a site to itself": {"recipient": "site-a"},
            "the largest round": {"round": 2**32 - 1},
        }.items():
            said = {"purpose": purpose, **BOUND, **changes}
            tests.add(f"{purpose}: {name}", **said, info=info(**said).hex())
    good = [
        f"{SHARE}/{PLAN.hex()}".encode(), SESSION, (7).to_bytes(8, "big"), b"site-a", b"site-b"
    ]  # fmt: skip
    for name, place, part in (
        ("the plan's hash as bytes", 0, f"{SHARE}/".encode() + PLAN),
        ("no plan", 0, SHARE.encode()),
        ("the hash in upper case", 0, f"{SHARE}/{PLAN.hex().upper()}".encode()),
        ("the session in hex", 1, SESSION.hex().encode()),
        ("the round in 4 bytes", 2, (7).to_bytes(4, "big")),
        ("the round of little endian", 2, (7).to_bytes(8, "little")),
        ("sender and recipient exchanged", 3, b"site-b"),
    ):
        parts = [*good[:place], part, *good[place + 1 :]]
        if part == b"site-b":
            parts[4] = b"site-a"
        digest = tagged(b"fedmrg/hpke-info/v1", *parts).hex()
        tests.add(name, valid=False, flags=("Bytes",), purpose=SHARE, **BOUND, info=digest)
    joined = hashlib.sha256(b"fedmrg/hpke-info/v1" + b"".join(good)).hexdigest()
    tests.add("no lengths", valid=False, flags=("Bytes",), purpose=SHARE, **BOUND, info=joined)
    digest = info(SUM).hex()
    tests.add("of a sum", valid=False, flags=("Bytes",), purpose=SHARE, **BOUND, info=digest)
    return {"type": "ShareInfo", "tests": tests.made}


def sealed(purpose: str, holder: int) -> Group:
    """A share that travels; the ephemeral key is there so that it can be made again."""
    private, ephemeral = secret("recipient"), secret(f"ephemeral of {purpose}")
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    plain = share_bytes(holder, quadratic(SECRET_RULES[holder]))
    good = hpke(ephemeral, public, info(purpose), plain)
    tests = Tests()
    tests.add("as it was sealed")
    for name, changes in {
        "another session": {"session": bytes(32).hex()},
        "another round": {"round": 8},
        "another plan": {"planHash": hashlib.sha256(b"another plan").hexdigest()},
        "another sender": {"sender": "site-c"},
        "another recipient": {"recipient": "site-c"},
        "another purpose": {"purpose": SUM if purpose == SHARE else SHARE},
    }.items():
        tests.add(name, valid=False, flags=("Context",), **changes)
    stranger = secret("another recipient").hex()
    tests.add("another site's key", valid=False, flags=("Sealed",), privateKey=stranger)
    for name, edit in {
        "the last byte is missing": {"length": len(good) - 1},
        "a byte too many": {"length": len(good) + 1},
        "nothing": {"length": 0},
        "a bit of the encapsulated key": {"offset": 0, "hex": f"{good[0] ^ 1:02x}"},
        "a bit of the share": {"offset": 5000, "hex": f"{good[5000] ^ 128:02x}"},
        "a bit of the tag": {"offset": len(good) - 1, "hex": f"{good[-1] ^ 1:02x}"},
    }.items():
        tests.add(name, valid=False, flags=("Sealed",), edit=edit)
    tests.add("for another holder", valid=False, flags=("Holder",), holder=holder + 1)
    short = hpke(ephemeral, public, info(purpose), plain[:100])
    tests.add("a share that is cut off", valid=False, flags=("Holder",), sealed=short.hex())
    return {
        "type": "SealedShare",
        "purpose": purpose,
        **BOUND,
        "holder": holder,
        "privateKey": private.hex(),
        "publicKey": public.hex(),
        "ephemeralKey": ephemeral.hex(),
        "shareRule": SECRET_RULES[holder],
        "shareSha256": sha(plain),
        "sealed": good.hex(),
        "tests": tests.made,
    }
