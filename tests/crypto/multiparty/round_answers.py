"""Checks of the known answers for whole vectors, sums and opening, each by the package and by hand.

`pytest.fail` is for a twin that is refused, but not for the reason that the file gives.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, encode_frame, join_frame
from fedmrg_secure.crypto.multiparty import engine
from fedmrg_secure.crypto.multiparty.crs import ReferenceString, crs_key
from fedmrg_secure.crypto.multiparty.noise import Coins
from fedmrg_secure.crypto.multiparty.scheme import CkksMultiparty, SumKey
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.multiparty_budget import (
    largest_scale,
    noise_bound,
    sum_error_bound,
)
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.residues import add_mod, pack, unpack
from tests.crypto.multiparty import exact
from tests.crypto.multiparty.federation import parameters_for
from tests.crypto.multiparty.known_answers import (
    Answers,
    N,
    quadratic,
    ring,
    round_key,
    sha,
    values_of,
)

REFUSED = {
    "check": "check block",
    "padding": "padding",
    "values": "exceeds what",
    "norm": "exceeds what",
}


def budget(group: Answers, test: Answers) -> None:
    sites, bits, scale = test["sites"], test["wireBits"], test["scale"]
    assert largest_scale(sites, test["maxAbsValue"], bits) == scale
    assert noise_bound(sites, bits) == test["noiseBound"]
    assert sum_error_bound(sites, scale, bits) == test["errorBound"]


def error_key(group: Answers, test: Answers) -> None:
    parameters = parameters_for(3)
    key = round_key(ring([1, 2, 3]), bytes.fromhex(group["seed"]), parameters)
    key.bind(bytes.fromhex(group["planHash"]), parameters)
    values = values_of({**group, **test}, group["valuesRule"], group["valueCount"])
    assert key.error_key(test["index"], values).hex() == test["errorKey"]


def layout(group: Answers, test: Answers) -> None:
    parameters = parameters_for(2, blocks_per_chunk=group["blocksPerChunk"])
    count, chunks = test["valueCount"], parameters.chunk_count(test["valueCount"])
    assert chunks == test["chunkCount"]
    for index, said in enumerate(test["lastChunks"], chunks - len(test["lastChunks"])):
        place = parameters.chunk_slice(index, count)
        assert [place.start, place.stop] == said["values"]
        assert index * group["blocksPerChunk"] == said["firstBlock"]
        assert parameters.chunk_blocks(index, count) == said["blocks"]
    # By hand: a vector is values, zeros, 64 zeros, in whole blocks, as few as possible.
    end = N * math.ceil((count + exact.CHECK) / N)
    assert test["padding"] == [count, end - exact.CHECK]
    assert test["check"] == [end - exact.CHECK, end]
    assert (test["lastChunks"][-1]["firstBlock"] + test["lastChunks"][-1]["blocks"]) * N == end


def vector(group: Answers, test: Answers) -> None:
    parameters = SchemeParameters.from_json(group["parameters"])
    plan, count, index = bytes.fromhex(group["planHash"]), group["valueCount"], test["index"]
    values = values_of(group, group["valuesRule"], count)
    secret = quadratic(group["secretRule"])
    key = round_key(secret, bytes.fromhex(group["seed"]), parameters)
    scheme = CkksMultiparty(parameters, plan, count, key=key)
    part = values[parameters.chunk_slice(index, count)]
    header = FrameHeader.of_chunk(
        parameters,
        session=bytes.fromhex(group["session"]),
        round=group["round"],
        sender=group["sender"],
        chunk_index=index,
        value_count=count,
    )
    chunk = scheme.encrypt_chunk(index, part)
    frame = join_frame(header, chunk.packed, b"")
    assert header.to_bytes().hex() == test["header"]
    assert chunk.residues[:4].tolist() == test["first"]
    assert chunk.residues[-4:].tolist() == test["last"]
    assert (len(frame), sha(frame)) == (test["frameBytes"], test["frameSha256"])
    # By hand, from the error key that the file gives.
    first, size = index * parameters.blocks_per_chunk, header.block_count
    blocks = np.zeros(size * N, dtype=np.int64)
    blocks[: part.size] = part
    assert sha(blocks.astype("<i8").tobytes()) == test["valuesSha256"]
    assert key.error_key(index, blocks.reshape(size, N)).hex() == test["errorKey"]
    errors = exact.errors_of(bytes.fromhex(test["errorKey"]), size)
    residues = [
        each
        for place, block in enumerate(blocks.reshape(size, N).tolist())
        for each in exact.encrypt(
            plan,
            first + place,
            secret,
            errors[place],
            block,
            parameters.scale,
            parameters.residue_bits,
        )
    ]
    assert residues == chunk.residues.tolist()


def addition(group: Answers, test: Answers) -> None:
    parameters = SchemeParameters.from_json(group["parameters"])
    uploads = [
        quadratic(group["residuesRules"][i], parameters.modulus).astype(np.uint64)
        for i in test["included"]
    ]
    total = uploads[0].copy()
    for upload in uploads[1:]:
        add_mod(total, upload, parameters.modulus)
    header = FrameHeader.of_chunk(
        parameters,
        session=bytes.fromhex(group["session"]),
        round=group["round"],
        sender=AGGREGATE,
        chunk_index=0,
        value_count=group["valueCount"],
        contributors=len(uploads),
    )
    assert header.to_bytes().hex() == test["header"]
    assert total[:8].tolist() == test["first"]
    assert total[-4:].tolist() == test["last"]
    assert sha(encode_frame(header, total, b"")) == test["frameSha256"]
    by_hand = [sum(column) % parameters.modulus for column in zip(*map(list, uploads), strict=True)]
    assert by_hand == total.tolist()


def opening(group: Answers, test: Answers) -> None:
    said = {**group, **test}
    parameters = SchemeParameters.from_json(group["parameters"])
    bits, count, k = parameters.residue_bits, group["valueCount"], said["k"]
    residues = unpack(bytes.fromhex(group["summed"]), N, bits).astype(np.int64)
    if "change" in test:
        change = test["change"]
        residues[change["from"] : change["to"]] += change["add"]
    if "without" in test:
        residues -= np.array(upload(group, test["without"]))
    residues %= parameters.modulus
    plan, secret = bytes.fromhex(said["planHash"]), quadratic(said["secretRule"])
    left = exact.remainders(plan, k, secret, residues.tolist(), bits)
    by_hand = [exact.on_grid(t, parameters.scale) for t in left]
    if why(left, by_hand, group) != test["refused"]:
        pytest.fail(f"{why(left, by_hand, group)!r}, not {test['refused']!r}")
    # Block k as the last of a vector with one block a chunk.
    single = SchemeParameters.from_json(group["parameters"] | {"blocks_per_chunk": 1})
    key = SumKey(SecretPolynomial(secret.astype(np.uint32)))
    scheme = CkksMultiparty(single, plan, k * N + count, sum_key=key)
    openers = [b""] * group["sites"]
    try:
        opened = scheme.open_chunk(k, residues.astype(np.uint64), openers, count)
    except OpeningRefused as error:
        if REFUSED[test["refused"]] not in error.message:
            pytest.fail(error.message)
        raise
    if opened.tolist() != by_hand[:count] or test["refused"]:
        pytest.fail("the package opens to something else than exact integers do")
    assert opened[:8].tolist() == test["first"]
    assert opened[-4:].tolist() == test["last"]
    assert sha(opened.astype("<i8").tobytes()) == test["valuesSha256"]


def why(left: list[int], values: list[int], group: Answers) -> str:
    """Why a sum is refused, from docs/crypto-spec.md; "" if it is not."""
    fields, n, error = group["parameters"], group["sites"], group["errorBound"]
    if max(map(abs, left[-exact.CHECK :])) > group["noiseBound"]:
        return "check"
    if max(map(abs, values)) > n * fields["max_abs_value"] + error:
        return "values"
    root = math.isqrt(N - 1) + 1
    norm = min(fields["max_norm"] + root // 2 + 1, fields["max_abs_value"] * root)
    if math.hypot(*values) > n * norm + error * math.sqrt(N):
        return "norm"
    return "padding" if max(map(abs, values[group["valueCount"] :])) > error else ""


def upload(group: Answers, site: int) -> list[int]:
    """A site's residues: what the file says, by exact integers and by the package."""
    said, parameters = group["uploads"][site], SchemeParameters.from_json(group["parameters"])
    values = np.zeros(N, dtype=np.int64)
    values[: group["valueCount"]] = values_of(group, said["valuesRule"], group["valueCount"])
    plan, bits = bytes.fromhex(group["planHash"]), parameters.residue_bits
    secret, key = quadratic(said["secretRule"]), bytes.fromhex(said["errorKey"])
    errors = exact.errors_of(key, 1)[0]
    residues = exact.encrypt(
        plan, group["k"], secret, errors, values.tolist(), parameters.scale, bits
    )
    blocks = engine.make_blocks(
        SecretPolynomial(secret.astype(np.uint32)).transform,
        scale=parameters.scale,
        wire_bits=bits,
    )
    packed = np.empty((1, N * bits // 64), dtype=np.uint64)
    reference = ReferenceString(crs_key(plan), group["k"]).take(1)
    blocks.encrypt(reference, Coins(key).take(1), values[None], packed)
    by_hand = pack(np.array(residues, dtype=np.uint64), bits)
    if packed.tobytes() != by_hand or sha(by_hand) != said["packedSha256"]:
        pytest.fail(f"upload {site} is not what the file says")
    return residues
