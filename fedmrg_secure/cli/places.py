"""Errors that show only when a run is planned, pointed at the key of the file that causes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedmrg_secure.core.errors import FedmrgError

CAUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "FMRG-3001": ("model", "decoder"),
    "FMRG-3002": ("model", "decoder"),
    "FMRG-3005": ("update", "rank"),
    "FMRG-3007": ("model", "max_report_tokens"),
    "FMRG-3008": ("model", "classes"),
    "FMRG-4102": ("update", "precision_bits"),
    "FMRG-4103": ("secure_aggregation", "max_error"),
    "FMRG-6001": ("federation", "sites"),
    "FMRG-6002": ("federation", "min_sites"),
    "FMRG-6004": ("federation", "sites"),
}
"""Code of an error -> the key that most likely has to change."""


@contextmanager
def placed(config: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Give an error of `CAUSES` that has no place the place of its key in the file."""
    try:
        yield
    except FedmrgError as error:
        key = CAUSES.get(error.code) or (("data",) if error.code.startswith("FMRG-2") else None)
        if key and not error.location:
            from fedmrg_secure.core.yaml_source import place_of

            error.location = place_of(config, overrides, key)
        raise
