"""Known answers of privacy ledgers' heads, for `make_vectors.py`: SPEC.md, section 7.3."""

from __future__ import annotations

import hashlib
from typing import Any

_NOTES = {
    "Shorter": "fewer entries than the known head has",
    "Altered": "as many or more entries, but the known ones are not among them",
    "Anew": "another ledger for the same scope",
    "Unproven": "more new entries than the head lists: neither continued nor discontinued",
}


def tagged(tag: str, *parts: bytes) -> bytes:
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in (tag.encode(), *parts))
    return hashlib.sha256(joined).digest()


def entry(kind: str, number: int) -> bytes:
    return hashlib.sha256(f"fedmrg test vector entry {kind} {number}".encode()).digest()


def head(ledger: bytes, digests: list[bytes], listed: int) -> dict[str, Any]:
    chain = bytes(32)
    for digest in digests:
        chain = tagged("fedmrg/privacy-ledger/chain/v1", chain, digest)
    newest = [digest.hex() for digest in digests[len(digests) - listed :]]
    return {
        "scope": tagged("fedmrg/privacy-ledger/scope/v1", b"chest", b"patient", b"0.00001").hex(),
        "ledger": ledger.hex(),
        "entries": len(digests),
        "chain": chain.hex(),
        "newest": newest,
    }


def ledgers_file() -> tuple[dict[str, str], list[dict[str, Any]]]:
    name, other = hashlib.sha256(b"one").digest()[:16], hashlib.sha256(b"other").digest()[:16]
    true = [entry("true", number) for number in range(12)]
    false = true[:4] + [entry("false", number) for number in range(4, 12)]
    forged = {**head(name, false[:8], 2), "newest": [digest.hex() for digest in true[6:8]]}
    cases: list[tuple[str, tuple[str, ...], str, dict[str, Any]]] = [
        ("nothing was charged", (), "", head(name, true[:6], 2)),
        ("two entries more", (), "", head(name, true[:8], 2)),
        ("two entries more, and more listed than needed", (), "", head(name, true[:8], 8)),
        ("one entry fewer", ("Shorter",), "rolled-back", head(name, true[:5], 5)),
        ("as many, but others", ("Altered",), "altered", head(name, false[:6], 6)),
        ("more, but others", ("Altered",), "altered", head(name, false[:8], 8)),
        ("more, but others, with forged hashes", ("Altered",), "altered", forged),
        ("begun anew", ("Anew",), "begun-anew", head(other, false[:8], 8)),
        ("six more, four listed", ("Unproven",), "unproven", head(name, true[:12], 4)),
    ]
    tests = [
        {
            "tcId": place,
            "comment": comment,
            "flags": list(flags),
            "head": shown,
            "reason": reason,
            "result": "invalid" if reason else "valid",
        }
        for place, (comment, flags, reason, shown) in enumerate(cases, 1)
    ]
    group = {
        "type": "LedgerHead",
        "dataset": "chest",
        "unit": "patient",
        "delta": "0.00001",
        "known": head(name, true[:6], 0),
        "tests": tests,
    }
    return _NOTES, [group]
