"""Checks of the known answers for shares: made, sealed, added up, and wrong ones told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client import round_keys
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty import reed_solomon
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, KeyShare, SumKey, combine
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import unpack
from tests.crypto.multiparty import exact
from tests.crypto.multiparty.federation import parameters_for
from tests.crypto.multiparty.known_answers import Answers, N, Q, quadratic, ring, round_key, sha


def shares_from_seed(group: Answers, test: Answers) -> None:
    key = round_key(ring(group["secretRule"]), bytes.fromhex(group["seed"]), parameters_for(3))
    shares = key.shares(test["holders"], test["threshold"])
    assert sha(shares[test["holder"] - 1].to_bytes()) == test["bytesSha256"]


def reed_solomon_word(group: Answers, test: Answers) -> None:
    points, values, k = test["points"], test["values"], test["dimension"]
    found = reed_solomon.error_places(points, values, k)
    tried = exact.wrong_by_trying(points, [np.array([value]) for value in values], k)
    by_hand = None if tried is None else tuple(sorted(map(points.index, tried)))
    if found != by_hand:
        pytest.fail(f"{found}, by trying {by_hand}")
    assert found == tuple(test["wrongPlaces"])


def wrong_shares(group: Answers, test: Answers) -> None:
    holders, values = test["holders"], shares_of(group, test)
    if len(set(holders)) == len(holders) > group["threshold"]:
        tried = exact.wrong_by_trying(holders, values, group["threshold"])
        if (tried is None) != ("TooMany" in test["flags"]):
            pytest.fail(f"by trying {tried}")
        if tried is not None and test["result"] == "valid":
            assert sorted(tried) == test["wrongHolders"]
            right = [holder for holder in holders if holder not in tried]
            by_hand = exact.interpolate(right, [values[holders.index(h)] for h in right], 0)
            assert sha(by_hand.astype("<u4").tobytes()) == test["secretSha256"]
    same(combine(parts_of(holders, values), group["threshold"]), test)


def wrong_shares_checked(group: Answers, test: Answers) -> None:
    parameters = SchemeParameters.from_json(group["parameters"])
    scheme = CkksMultiparty(parameters, bytes.fromhex(group["planHash"]), group["valueCount"])
    summed = unpack(bytes.fromhex(group["summed"]), N, parameters.residue_bits)
    parts = parts_of(test["holders"], shares_of(group, test))
    made = combine(
        parts,
        group["threshold"],
        check=lambda key: scheme.check_sum_key(key, summed, group["sites"]),
    )
    same(made, test)


def shares_of(group: Answers, test: Answers) -> list[np.ndarray]:
    """The holders' values by definition, with the test's changes."""
    rows = [quadratic(rule) for rule in group["coefficientRules"]]
    made = [
        sum((row * pow(holder, m, Q) % Q for m, row in enumerate(rows)), start=np.zeros(N, int)) % Q
        for holder in test["holders"]
    ]
    for change in test["changes"]:
        values = made[test["holders"].index(change["holder"])]
        if "addRule" in change:
            values += quadratic(change["addRule"])
        else:
            values[change["place"]] += change["add"]
        values %= Q
    return made


def parts_of(holders: list[int], values: list[np.ndarray]) -> list[KeyShare]:
    return [
        KeyShare(holder, SecretPolynomial(each.astype(np.uint32)))
        for holder, each in zip(holders, values, strict=True)
    ]


def same(made: SumKey, test: Answers) -> None:
    told = None if made.wrong_holders is None else list(made.wrong_holders)
    assert told == test["wrongHolders"]
    assert sha(made._secret.coefficients.astype("<u4").tobytes()) == test["secretSha256"]


def info_of(said: Answers) -> bytes:
    site: Any = SimpleNamespace(session=bytes.fromhex(said["session"]))
    return round_keys.share_info(
        site,
        said["purpose"],
        said["round"],
        bytes.fromhex(said["planHash"]),
        sender=said["sender"],
        recipient=said["recipient"],
    )


def share_info(group: Answers, test: Answers) -> None:
    assert info_of(test).hex() == test["info"]


def sealed_share(group: Answers, test: Answers) -> None:
    said = {**group, **test}
    sealed, edit = bytearray.fromhex(said["sealed"]), test.get("edit", {})
    if "length" in edit:
        sealed = (sealed + b"\0")[: edit["length"]]
    if "hex" in edit:
        sealed[edit["offset"] : edit["offset"] + len(edit["hex"]) // 2] = bytes.fromhex(edit["hex"])
    key = SecretBytes(bytes.fromhex(said["privateKey"]))
    site: Any = SimpleNamespace(identity=SimpleNamespace(seal_key=key))
    share = round_keys.opened_share(
        site, said["sender"], bytes(sealed), info_of(said), holder=said["holder"]
    )
    assert sha(share.to_bytes()) == group["shareSha256"]
    np.testing.assert_array_equal(share.coefficients, ring(group["shareRule"]))
