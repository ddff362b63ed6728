"""The known answers of protocols/vectors/v1, valid and invalid, against the package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.client.peer_ledgers import SeenHead, judge_head
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.frame import FrameHeader, decode_frame, encode_frame
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty import engine, ntt, shamir
from fedmrg_secure.crypto.multiparty.crs import ReferenceString, crs_key
from fedmrg_secure.crypto.multiparty.noise import Coins, noise
from fedmrg_secure.crypto.multiparty.scheme import KeyShare, combine
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty.switching import down, up
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import pack, unpack
from fedmrg_secure.crypto.sealed_state import StateContext, open_state
from fedmrg_secure.privacy.ledger import scope_of
from fedmrg_secure.protocol.certified import LedgerHead
from tests.crypto.multiparty import round_answers, share_answers
from tests.crypto.multiparty.known_answers import FOLDER, ROOT, N, Q, quadratic, ring, sha

LARGEST_BYTES = 300_000


def polynomial(values: np.ndarray, test: dict[str, Any]) -> None:
    """Long results come as their first and last values and a hash."""
    assert values[: len(test["first"])].tolist() == test["first"]
    assert values[len(values) - len(test.get("last", [])) :].tolist() == test.get("last", [])
    assert sha(values.astype("<u4").tobytes()) == test["sha256"]


def crs(group: dict[str, Any], test: dict[str, Any]) -> None:
    key = crs_key(bytes.fromhex(group["planHash"]))
    assert key.hex() == group["key"]
    polynomial(ReferenceString(key, test["k"]).take(1)[0, :N], test)
    # The same block, reached by going on from the one before.
    if test["k"]:
        polynomial(ReferenceString(key, test["k"] - 1).take(2)[1, :N], test)


def transform(group: dict[str, Any], test: dict[str, Any]) -> None:
    apply = {"forward": ntt.forward, "inverse": ntt.inverse}[test["direction"]]
    polynomial(apply(ring(test["rule"])[None])[0], test)


def noise_from_coins(group: dict[str, Any], test: dict[str, Any]) -> None:
    coins = np.frombuffer(bytes.fromhex(test["coins"]), dtype="<u8")
    assert noise(coins).tolist() == test["errors"]


def noise_from_key(group: dict[str, Any], test: dict[str, Any]) -> None:
    made = noise(Coins(bytes.fromhex(test["key"])).take(1))[0]
    assert made[:16].tolist() == test["first"]
    assert sha(made.astype(np.int8).tobytes()) == test["sha256"]


def shares_of(group: dict[str, Any]) -> np.ndarray:
    return shamir.evaluate(np.stack([ring(rule) for rule in group["coefficientRules"]]), 1024)


def shamir_shares(group: dict[str, Any], test: dict[str, Any]) -> None:
    values = shares_of(group)[test["holder"] - 1]
    data = KeyShare(test["holder"], SecretPolynomial(values.copy())).to_bytes()
    assert values[:8].tolist() == test["first"]
    assert (data[:40].hex(), sha(data)) == (test["bytesPrefix"], test["bytesSha256"])


def shamir_coefficients(group: dict[str, Any], test: dict[str, Any]) -> None:
    zero = np.zeros(N, dtype=np.uint32)
    shares = shamir.split(zero, 3, 3, key=bytes.fromhex(test["key"]))
    # f(x) = c_1 x + c_2 x^2, so that c_2 = (f(2) - 2 f(1)) / 2.
    one, two = shares[0].astype(np.int64), shares[1].astype(np.int64)
    second = (two - 2 * one) % Q * pow(2, -1, Q) % Q
    polynomial({1: (one - second) % Q, 2: second}[test["m"]], test)


def shamir_combine(group: dict[str, Any], test: dict[str, Any]) -> None:
    shares = shares_of(group)
    parts = [KeyShare(h, SecretPolynomial(shares[h - 1].copy())) for h in test["holders"]]
    secret = combine(parts, group["threshold"])._secret.coefficients
    assert sha(secret.astype("<u4").tobytes()) == test["secretSha256"]


def share_bytes(group: dict[str, Any], test: dict[str, Any]) -> None:
    data = bytearray(KeyShare(2, SecretPolynomial(shares_of(group)[1].copy())).to_bytes())
    edit = test["edit"]
    if "length" in edit:
        data = (data + bytes(16))[: edit["length"]]
    if "hex" in edit:
        data[edit["offset"] : edit["offset"] + len(edit["hex"]) // 2] = bytes.fromhex(edit["hex"])
    assert sha(data) == test["sha256"] or test["result"] == "invalid"
    assert KeyShare.from_bytes(bytes(data)).to_bytes() == bytes(data)


def switching(group: dict[str, Any], test: dict[str, Any]) -> None:
    if test["direction"] == "down":
        made = down(np.array([test["value"]]), group["wireBits"])
    else:
        made = up(np.array([test["value"]], dtype=np.uint64), group["wireBits"])
    assert made.tolist() == [test["output"]]


def encrypt_block(group: dict[str, Any], test: dict[str, Any]) -> None:
    key = crs_key(bytes.fromhex(group["planHash"]))
    coins = Coins(bytes.fromhex(group["errorKey"])).take(1)
    values = quadratic(group["valuesRule"], group["valuesModulus"]) + group["valuesOffset"]
    blocks = engine.make_blocks(
        ntt.forward(ring(group["secretRule"])[None])[0],
        scale=test["scale"],
        wire_bits=group["wireBits"],
    )
    packed = np.empty((1, N * group["wireBits"] // 64), dtype=np.uint64)
    blocks.encrypt(ReferenceString(key, test["k"]).take(1), coins, values[None], packed)
    residues = unpack(packed.tobytes(), N, group["wireBits"])
    assert residues[:8].tolist() == test["first"]
    assert sha(packed.tobytes()) == test["packedSha256"]


def frame(group: dict[str, Any], test: dict[str, Any]) -> None:
    parameters = SchemeParameters.from_json(group["parameters"])
    assert parameters.digest == group["parametersDigest"]
    header = FrameHeader.of_chunk(
        parameters,
        session=bytes.fromhex(group["session"]),
        round=group["round"],
        sender=group["sender"],
        chunk_index=0,
        value_count=group["valueCount"],
    )
    residues = quadratic(group["residuesRule"], parameters.modulus).astype(np.uint64)
    honest = encode_frame(header, residues, b"")
    head = bytes.fromhex(test["header"])
    data = (head + honest[len(head) :])[: test["bytes"]]
    assert sha(data) == test["sha256"]
    np.testing.assert_array_equal(decode_frame(data, header).residues, residues)
    assert data == honest


def sealed_state(group: dict[str, Any], test: dict[str, Any]) -> None:
    said = {**group, **test}
    context = StateContext(
        bytes.fromhex(said["session"]),
        said["round"],
        said["sender"],
        said["recipient"],
        bytes.fromhex(said["modelHash"]),
    )
    chunks = [bytes.fromhex(chunk) for chunk in said["chunks"]]
    opened = open_state(
        SecretBytes(bytes.fromhex(said["privateKey"])),
        bytes.fromhex(said["sealedKey"]),
        chunks,
        context,
        merkle_root=bytes.fromhex(said["merkleRoot"]),
        count=len(said["plain"]),
    )
    assert [chunk.hex() for chunk in opened] == said["plain"]
    assert merkle_root(map(leaf_hash, chunks)).hex() == said["merkleRoot"]


def ledger_head(group: dict[str, Any], test: dict[str, Any]) -> None:
    scope, known = group["known"]["scope"], group["known"]
    assert scope_of(group["dataset"], group["unit"], float(group["delta"])).hex() == scope
    seen = SeenHead(known["ledger"], known["entries"], known["chain"])
    said = test["head"]
    head = LedgerHead(
        bytes.fromhex(said["scope"]),
        bytes.fromhex(said["ledger"]),
        said["entries"],
        bytes.fromhex(said["chain"]),
        tuple(map(bytes.fromhex, said["newest"])),
    )
    finding = judge_head({scope: seen}, head, 2)
    if finding != (test["reason"] or None):
        pytest.fail(f"{finding}, not {test['reason']}")
    assert finding is None


CHECKS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "Crs": crs,
    "Ntt": transform,
    "NoiseFromCoins": noise_from_coins,
    "NoiseFromKey": noise_from_key,
    "ErrorKey": round_answers.error_key,
    "ShamirShares": shamir_shares,
    "ShamirCoefficients": shamir_coefficients,
    "SharesFromSeed": share_answers.shares_from_seed,
    "ShamirCombine": shamir_combine,
    "ShareBytes": share_bytes,
    "Switching": switching,
    "EncryptBlock": encrypt_block,
    "Budget": round_answers.budget,
    "Layout": round_answers.layout,
    "Vector": round_answers.vector,
    "Sum": round_answers.addition,
    "Open": round_answers.opening,
    "ReedSolomon": share_answers.reed_solomon_word,
    "WrongShares": share_answers.wrong_shares,
    "WrongSharesChecked": share_answers.wrong_shares_checked,
    "ShareInfo": share_answers.share_info,
    "SealedShare": share_answers.sealed_share,
    "Frame": frame,
    "SealedState": sealed_state,
    "LedgerHead": ledger_head,
}


def _groups() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
            bits = group.get("wireBits") or group.get("parameters", {}).get("modulus", "")
            yield f"{path.stem}-{group['type']}-{bits}", group


def _cases() -> Iterator[Any]:
    for name, group in _groups():
        for test in group["tests"]:
            yield pytest.param(group, test, id=f"{name}-{test['tcId']}")


@pytest.mark.parametrize(("group", "test"), list(_cases()))
def test_known_answers(group: dict[str, Any], test: dict[str, Any]) -> None:
    if test["result"] == "valid":
        CHECKS[group["type"]](group, test)
    else:
        with pytest.raises((AssertionError, FedmrgError)):
            CHECKS[group["type"]](group, test)


@pytest.mark.parametrize(
    "group", [pytest.param(each, id=name) for name, each in _groups() if each["type"] == "Open"]
)
def test_what_is_opened_is_the_sum_of_uploads_that_can_be_made_again(group: dict[str, Any]) -> None:
    modulus = int(group["parameters"]["modulus"])
    uploads = [round_answers.upload(group, site) for site in range(group["sites"])]
    total = np.array(uploads, dtype=np.uint64).sum(axis=0) % np.uint64(modulus)
    assert pack(total, modulus.bit_length() - 1).hex() == group["summed"]


@pytest.mark.parametrize("group", [pytest.param(each, id=name) for name, each in _groups()])
def test_every_group_has_answers_and_bad_twins(group: dict[str, Any]) -> None:
    assert {test["result"] for test in group["tests"]} == {"valid", "invalid"}


def test_the_files_are_what_their_generator_makes_and_of_one_form() -> None:
    done = subprocess.run(
        [sys.executable, "tools/make_vectors.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path in FOLDER.glob("*.json"):
        assert path.stat().st_size < LARGEST_BYTES
        content = json.loads(path.read_text(encoding="utf-8"))
        tests = [test for group in content["testGroups"] for test in group["tests"]]
        assert content["numberOfTests"] == len(tests)
        assert {flag for test in tests for flag in test["flags"]} <= set(content["notes"])


def test_the_page_about_the_files_names_each_of_them_and_their_groups() -> None:
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.json)` \| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    said = {name: re.findall(r"`(\w+)`", groups) for name, groups in rows}
    there = {
        path.name: list(
            dict.fromkeys(
                group["type"]
                for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]
            )
        )
        for path in FOLDER.glob("*.json")
    }
    assert said == there
    assert {kind for kinds in there.values() for kind in kinds} == set(CHECKS)
