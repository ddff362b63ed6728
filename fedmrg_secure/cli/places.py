"""Errors that show only when a run is planned, pointed at the key of the file that causes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedmrg_secure.core.errors import ErrorGroup, FedmrgError

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
    """Give errors the place of their key in the file.

    An error's key is the one it names as its location, such as ``data.root``, or that of `CAUSES`
    where it has no location.
    """
    try:
        yield
    except FedmrgError as error:
        for each in error.errors if isinstance(error, ErrorGroup) else (error,):
            if key := _key(each):
                from fedmrg_secure.core.yaml_source import place_of

                each.location = place_of(config, overrides, key)
        raise


def _key(error: FedmrgError) -> tuple[str, ...] | None:
    if error.location:
        from fedmrg_secure.core.config_errors import all_keys

        return tuple(error.location.split(".")) if error.location in all_keys() else None
    if error.code.startswith("FMRG-2"):
        return ("data",)
    return CAUSES.get(error.code)
