"""Who can see what: the threat model of a run as a table, for the scheme that was in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PARTIES: Final = (
    "The site itself",
    "Another site",
    "Coordinator",
    "Coordinator with any one site",
    "The network between",
)

YES: Final = "sees"
NO: Final = "cannot"
PART: Final = "in part"


@dataclass(frozen=True, slots=True)
class Visibility:
    """One thing and what each of `PARTIES` has of it.

    Attributes:
        thing: what it is about.
        cells: a party each: (`sees`|`cannot`|`in part`, a remark).
        dangerous: whether anybody but the site itself seeing it is what encryption is against.
    """

    thing: str
    cells: tuple[tuple[str, str], ...]
    dangerous: bool = False


def visibility(
    scheme: str,
    *,
    weighting: str,
    sites: int,
    min_sites: int,
    dual: bool = False,
    threshold: int = 0,
    colluders: int = 0,
) -> tuple[Visibility, ...]:
    """The table for one scheme.

    It says what the protocol gives each party when every party runs on its own computer.

    Args:
        scheme: one of the configuration's.
        weighting: ``uniform`` or ``records``.
        sites: of the federation.
        min_sites: the fewest in a sum.
        dual: whether sites have a specialized adapter.
        threshold: sites of a full cohort that open a sum together, for ``ckks-multiparty``.
        colluders: T, sites that may help a coordinator that cheats, for ``ckks-multiparty``.
    """
    plain, own_keys = scheme == "insecure-plaintext", scheme == "ckks-multiparty"
    opened: tuple[str, str] = (
        (YES, "not encrypted") if plain else (NO, "no key, no code to use one")
    )
    rows = [
        _row(
            "X-rays, reports, local losses of a site",
            (YES, ""),
            (NO, ""),
            (NO, ""),
            (NO, ""),
            (NO, ""),
        ),
        *([_OWN_ADAPTER] if dual else []),
        _row(
            "One site's update, readable",
            (YES, ""),
            _another_site(scheme, sites, min_sites),
            opened,
            _coalition(sites, threshold, colluders)
            if own_keys
            else (YES, "" if plain else "ciphertext from one, key from the other"),
            (NO, "mutual TLS"),
            dangerous=True,
        ),
        _row(
            "Sum of all updates, the trained model",
            (YES, ""),
            (YES, "all of them; less its own, it knows the sum of the others"),
            opened,
            (YES, ""),
            (NO, "mutual TLS"),
        ),
    ]
    if own_keys:
        rows.append(
            _row(
                "The key of a site's update, fresh every round",
                (YES, ""),
                (PART, "one share, which alone says nothing"),
                (NO, "passes shares on sealed to each site (HPKE)"),
                (NO, f"{threshold} of {sites} sites must join the coordinator"),
                (NO, ""),
            )
        )
    elif not plain:
        rows.append(
            _row(
                "The decryption key",
                (YES, ""),
                (YES, "one key for all sites"),
                (NO, "passes it on sealed to each site (HPKE)"),
                (YES, "from the site"),
                (NO, ""),
            )
        )
    declared = weighting == "records"
    count = "declared as its weight" if declared else "every site weighs the same"
    rows += [
        _row(
            "How many records a site trains on",
            (YES, ""),
            (YES, count) if declared else (NO, count),
            (YES, count) if declared else (NO, count),
            (YES, "") if declared else (NO, ""),
            (NO, ""),
        ),
        _row(
            "Who takes part, when, hashes, sizes",
            (YES, ""),
            (YES, ""),
            (YES, ""),
            (YES, ""),
            (PART, "addresses, sizes, times"),
        ),
    ]
    return tuple(rows)


_OTHERS_UPDATE: Final = {
    "insecure-plaintext": "never receives it",
    "ckks-shared": "holds the key; gets the ciphertext only from a coordinator that cheats",
    "ckks-multiparty": "holds no key of it, and never receives it",
}


def _another_site(scheme: str, sites: int, min_sites: int) -> tuple[str, str]:
    """What one site alone has of another's update: a sum less its own part."""
    if sites == 2:
        return (YES, "of two sites each knows the other's by subtraction")
    if min_sites == 2:
        return (PART, "of a sum that only two are in, by subtraction")
    return (NO, _OTHERS_UPDATE[scheme])


def _coalition(sites: int, threshold: int, colluders: int) -> tuple[str, str]:
    """What the coordinator and one site have of another's update, where sites make round keys.

    All sites but one know the last one's by subtraction, so no more of them are ever needed.
    """
    if colluders == 0 or sites == 2:
        return (YES, "if the coordinator cheats: one site is more than colluders: 0 allows for")
    follows = min(threshold, sites - 1)
    return (
        NO,
        f"more than {colluders} of {sites} sites must join one that cheats, {follows} one that "
        "follows the protocol",
    )


def _row(thing: str, *cells: tuple[str, str], dangerous: bool = False) -> Visibility:
    return Visibility(thing, cells, dangerous)


_OWN_ADAPTER: Final = _row(
    "A site's specialized adapter",
    (YES, ""),
    (NO, "no part of any update"),
    (NO, "no part of any update"),
    (NO, ""),
    (NO, ""),
)
