"""Independent random streams, each named by what it is for."""

from __future__ import annotations

import numpy as np

from fedmrg_secure.core.canonical import tagged_hash


def stream(purpose: str, *names: str | int) -> np.random.Generator:
    """A generator that depends on nothing but `purpose` and `names`.

    Streams of different purposes are independent, so that a change in how reports are written
    leaves every image as it was.
    """
    digest = tagged_hash(f"fedmrg phantom {purpose} v1", *(str(name).encode() for name in names))
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
