"""Writes protocols/vectors/v1 from exact Python integers; with --check only compares.

What makes the files shares no code with the package, whose tests read them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from exact_ring import Group
from ledger_vectors import ledgers_file
from primitive_vectors import (
    budget_file,
    crs_file,
    encrypt_file,
    frames_file,
    noise_file,
    ntt_file,
    switching_file,
)
from round_vectors import layout_file, sums_file
from sealed_state_vectors import snapshots_file
from shamir_vectors import shamir_file
from share_vectors import decoding_file, shares_file

FOLDER = Path(__file__).resolve().parent.parent / "protocols" / "vectors" / "v1"
FILES: dict[str, Callable[[], tuple[dict[str, str], list[Group]]]] = {
    "crs": crs_file,
    "ntt": ntt_file,
    "noise": noise_file,
    "shamir": shamir_file,
    "switching": switching_file,
    "budget": budget_file,
    "encrypt": encrypt_file,
    "layout": layout_file,
    "sums": sums_file,
    "decoding": decoding_file,
    "shares": shares_file,
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
