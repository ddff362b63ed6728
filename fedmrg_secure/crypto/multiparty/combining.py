"""The key of a sum from the holders' share sums, of which some may be wrong, by intent or not.

Right share sums of m holders are a word of a Reed-Solomon code: values of one polynomial of degree
below t. Colluding holders choose their sums together, so that another polynomial fits more of the
published sums than the right one does, or that one through the right S leaves out honest holders.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from fedmrg_secure.crypto.errors import OpeningRefused, SharesInconsistent
from fedmrg_secure.crypto.multiparty import reed_solomon, shamir
from fedmrg_secure.crypto.multiparty.ring import RingVector
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty.shares import KeyShare, SumKey
from fedmrg_secure.crypto.multiparty_budget import RING_MODULUS

MAX_SUBSETS: Final = 4096
"""`combine` tries subsets of the shares only where there are no more of them than these."""

Check = Callable[[SumKey], None]
_MORE: Final = "wait for the share sums of more holders"


def combine(
    shares: Sequence[KeyShare],
    threshold: int,
    *,
    check: Check | None = None,
    colluders: int = 0,
) -> SumKey:
    """The sum's key from share sums of at least `threshold` holders.

    With m shares: first the nearest word of the code is decoded, which has at most
    ``(m - threshold) // 2`` wrong shares. Where there is none, or `check` refuses its key, subsets
    of `threshold` shares are tried, all of them or, above `MAX_SUBSETS`, none.

    Args:
        shares: each of another holder; left as they are.
        threshold: t of the sharing.
        check: raises `OpeningRefused` for a key that does not open the sum
            (`CkksMultiparty.check_sum_key` with the last chunk).
        colluders: how many holders may have chosen wrong shares together.

    Returns:
        The key, and whose shares were wrong: None if some were and it cannot be told whose.

    Guarantee:
        With `check` the key opens the sum, whatever the holders did. It is found if t shares are
        right, and there are at most `MAX_SUBSETS` subsets or at most ``(m - t) // 2`` wrong ones.
        Without, it is the right key if at most ``(m - t) // 2`` shares are wrong, and may be any
        key otherwise; with m = t nothing is found out.

        With e shares off the polynomial, holders are named only if ``e + max(e, colluders)`` is at
        most m - t, or m - t + 1 with `check`. They are the wrong ones if no more than
        ``max(e, colluders)`` shares are wrong: two polynomials of degree below t differ in at least
        m - t + 1 of m places, and in m - t + 2 if both give S.

    Edge cases:
        ============================================  ==========================================
        all shares agree, `check` refuses             `OpeningRefused`, no subset is tried
        a wrong word is nearer than the right one     with `check` the right key, else the wrong
        wrong shares whose polynomial gives S         the right key, None or the wrong holders
        no subset passes `check`, or too many         `SharesInconsistent`
        ============================================  ==========================================

    Raises:
        SharesInconsistent: too few, a holder twice, or wrong ones that cannot be told.
        OpeningRefused: `check` refuses the key that all shares agree on.
    """
    by_holder = {share.holder: share for share in shares}
    if len(by_holder) != len(shares):
        raise SharesInconsistent("a holder's share is there twice")
    if threshold < 1 or len(shares) < threshold:
        raise SharesInconsistent(f"{len(shares)} shares are fewer than the threshold {threshold}")
    spare = len(shares) - threshold + (check is not None)
    agreeing: frozenset[int] = frozenset()
    wrong = _nearest_word(by_holder, threshold)
    if wrong is not None:
        agreeing = frozenset(by_holder) - wrong
        key = _key_through(by_holder, [one for one in by_holder if one in agreeing][:threshold])
        try:
            _checked(key, check)
        except OpeningRefused:
            if not wrong:
                raise
        else:
            key.wrong_holders = _attributed(wrong, spare, colluders)
            return key
    if check is None:
        raise _cannot_be_told(by_holder)
    subset, key = _search(by_holder, threshold, check, agreeing)
    key.wrong_holders = _attributed(_outside(by_holder, subset), spare, colluders)
    return key


def _search(
    by_holder: dict[int, KeyShare], threshold: int, check: Check, refused: frozenset[int]
) -> tuple[tuple[int, ...], SumKey]:
    """A subset of shares whose key passes the check, and the key.

    Args:
        refused: holders whose shares agree on a key that the check has refused.
    """
    count = math.comb(len(by_holder), threshold)
    if count > MAX_SUBSETS:
        raise SharesInconsistent(
            f"{len(by_holder)} shares do not lie on one polynomial that opens the sum, and of "
            f"{count} subsets of {threshold} at most {MAX_SUBSETS} would be tried",
            hint=_MORE,
        )
    for subset in itertools.combinations(by_holder, threshold):
        if refused.issuperset(subset):
            continue
        key = _key_through(by_holder, subset)
        try:
            _checked(key, check)
        except OpeningRefused:
            continue
        return subset, key
    raise SharesInconsistent(
        f"no {threshold} of {len(by_holder)} shares give a key that opens the sum",
        hint=f"{_MORE}; if there are none, the sum or a site's key is not what it should be",
    )


def _checked(key: SumKey, check: Check | None) -> None:
    """Return if there is no check or the key passes it; else overwrite the key and raise."""
    try:
        if check is not None:
            check(key)
    except BaseException:
        key.destroy()
        raise


def _attributed(wrong: frozenset[int], spare: int, colluders: int) -> tuple[int, ...] | None:
    """Those who may be named; see `combine`."""
    if wrong and len(wrong) + max(len(wrong), colluders) > spare:
        return None
    return tuple(sorted(wrong))


def _cannot_be_told(by_holder: dict[int, KeyShare]) -> SharesInconsistent:
    return SharesInconsistent(
        f"{len(by_holder)} shares do not lie on one polynomial, and which are wrong cannot be told",
        hint=_MORE,
    )


def _nearest_word(by_holder: dict[int, KeyShare], threshold: int) -> frozenset[int] | None:
    """The holders off the nearest word, none in the usual case; None if no word is near enough.

    The shares of all N coefficients are decoded as one random combination of them, and the result
    is checked on all coefficients: a wrong share hides in a combination with probability 1/q.
    """
    holders = list(by_holder)
    for _ in range(3):
        mix = np.frombuffer(os.urandom(4 * by_holder[holders[0]].coefficients.size), dtype="<u4")
        word = [_dot(mix, by_holder[holder].coefficients) for holder in holders]
        places = reed_solomon.error_places(holders, word, threshold)
        if places is None:
            return None
        wrong = frozenset(holders[place] for place in places)
        right = [holder for holder in holders if holder not in wrong]
        if _outside(by_holder, right[:threshold]) == wrong:
            return wrong
    return None


def _dot(mix: RingVector, coefficients: RingVector) -> int:
    products = mix.astype(np.uint64) * coefficients % np.uint64(RING_MODULUS)
    return int(products.sum()) % RING_MODULUS


def _outside(by_holder: dict[int, KeyShare], subset: Sequence[int]) -> frozenset[int]:
    """The holders whose shares do not lie on the polynomial through those of `subset`."""
    base = [by_holder[holder].coefficients for holder in subset]
    others = [holder for holder in by_holder if holder not in subset]
    if not others:
        return frozenset()
    expected = shamir.interpolate(subset, base, at=others)
    outside = frozenset(
        holder
        for holder, share in zip(others, expected, strict=True)
        if not np.array_equal(share, by_holder[holder].coefficients)
    )
    expected[:] = 0
    return outside


def _key_through(by_holder: dict[int, KeyShare], subset: Sequence[int]) -> SumKey:
    (secret,) = shamir.interpolate(subset, [by_holder[holder].coefficients for holder in subset])
    return SumKey(SecretPolynomial(secret))
