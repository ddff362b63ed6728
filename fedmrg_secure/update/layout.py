"""The order of the shared tensors in one flat vector, with a digest that every site pins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.canonical import JsonValue, hash_json
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import FloatVector

_TAG: Final = "fedmrg/layout/v1"
PRIVATE_MARK: Final = "specialized"
"""A tensor with this in its name belongs to one site and must not leave it."""


class LayoutError(FedmrgError):
    """Tensors do not fit the layout that the federation agreed on."""

    code: ClassVar[str] = "FMRG-4001"


@dataclass(frozen=True, slots=True)
class Layout:
    """Tensor names, sorted, with their shapes: entry i begins where entry i-1 ends.

    Attributes:
        entries: (name, shape) pairs, sorted by name, each tensor in C order.
    """

    entries: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.entries]
        if not names:
            raise LayoutError("a layout needs at least one tensor")
        if names != sorted(set(names)):
            raise LayoutError("tensor names must be sorted and unique")
        for name, shape in self.entries:
            if not name:
                raise LayoutError("a tensor has an empty name")
            if PRIVATE_MARK in name:
                raise LayoutError(
                    f"{name} belongs to one site and must not leave it",
                    hint=f"give only tensors without {PRIVATE_MARK!r} in their name",
                )
            if any(side < 1 for side in shape):
                raise LayoutError(f"{name} is empty: its shape is {shape}")

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
        """The layout of a mapping from tensor name to shape, in any order."""
        return cls(tuple((name, tuple(shapes[name])) for name in sorted(shapes)))

    @property
    def size(self) -> int:
        """Number of values of the flat vector."""
        return sum(math.prod(shape) for _, shape in self.entries)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON, under a domain-separation tag."""
        return hash_json(_TAG, self.to_json()).hex()

    def to_json(self) -> list[JsonValue]:
        """The entries as ``[[name, [side, ...]], ...]``."""
        return [[name, list(shape)] for name, shape in self.entries]

    @classmethod
    def from_json(cls, value: object) -> Layout:
        """The inverse of `to_json`; raises `LayoutError` for anything else."""
        if not isinstance(value, list):
            raise LayoutError("a layout in JSON is a list of [name, shape]")
        entries = []
        for item in value:
            match item:
                case [str() as name, list() as shape] if all(type(side) is int for side in shape):
                    entries.append((name, tuple(shape)))
                case _:
                    raise LayoutError("a layout in JSON is a list of [name, shape]")
        return cls(tuple(entries))

    def flatten(self, tensors: Mapping[str, npt.ArrayLike]) -> FloatVector:
        """One vector of all tensors.

        Args:
            tensors: exactly the names of this layout, each of its shape, any real dtype.

        Returns:
            The values in layout order, shape (size,), float64.

        Raises:
            LayoutError: a tensor is missing, unknown or of another shape.
        """
        _same_names({name for name, _ in self.entries}, set(tensors))
        vector = np.empty(self.size, dtype=np.float64)
        start = 0
        for name, shape in self.entries:
            tensor = np.asarray(tensors[name])
            if tensor.shape != shape:
                raise LayoutError(f"{name} has shape {tensor.shape}, the layout says {shape}")
            end = start + tensor.size
            vector[start:end] = tensor.ravel()
            start = end
        return vector

    def unflatten(self, vector: FloatVector) -> dict[str, npt.NDArray[np.float32]]:
        """The tensors of a vector of shape (size,), as float32 copies."""
        if vector.shape != (self.size,):
            raise LayoutError(f"the vector has shape {vector.shape}, expected ({self.size},)")
        tensors = {}
        start = 0
        for name, shape in self.entries:
            end = start + math.prod(shape)
            tensors[name] = vector[start:end].astype(np.float32).reshape(shape)
            start = end
        return tensors


def _same_names(expected: set[str], given: set[str]) -> None:
    if missing := sorted(expected - given):
        raise LayoutError(f"missing tensors: {', '.join(missing[:5])} ({len(missing)} in all)")
    if unknown := sorted(given - expected):
        raise LayoutError(f"unknown tensors: {', '.join(unknown[:5])} ({len(unknown)} in all)")
