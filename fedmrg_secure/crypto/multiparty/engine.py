"""Which code encrypts and opens blocks: Numba's where it is installed, else NumPy's.

Both give the same integers; `fedmrg doctor` says which it is.
"""

from __future__ import annotations

from typing import Final, Protocol

from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.multiparty import pure
from fedmrg_secure.crypto.multiparty.ring import RingVector

PIECE: Final = 16
"""Blocks a call: they and their coins stay in the second-level cache."""


class Blocks(Protocol):
    """Blocks under one key; see `pure.Blocks`."""

    def encrypt(
        self,
        reference: RingVector,
        coins: ResidueVector,
        values: IntVector,
        packed: ResidueVector,
    ) -> None: ...

    def open(self, reference: RingVector, residues: ResidueVector, opened: IntVector) -> None: ...

    def wipe(self) -> None: ...


def make_blocks(key: RingVector, *, scale: int, wire_bits: int) -> Blocks:
    """The faster code's `Blocks`; arguments as of `pure.Blocks`."""
    if _COMPILED:
        return kernels.Blocks(key, scale=scale, wire_bits=wire_bits)
    return pure.Blocks(key, scale=scale, wire_bits=wire_bits)


def engine_name() -> str:
    """What this process computes with."""
    return "Numba" if _COMPILED else "NumPy"


try:
    from fedmrg_secure.crypto.multiparty import kernels
# Numba raises RuntimeError where it finds no folder to keep compiled code in.
except (ImportError, RuntimeError):
    _COMPILED = False
else:
    _COMPILED = True
