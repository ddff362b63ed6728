"""What the checks of known answers share: where the files are and how long inputs are written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.multiparty.round_key import RoundKey
from fedmrg_secure.crypto.multiparty.secret import SecretPolynomial
from fedmrg_secure.crypto.parameters import SchemeParameters

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "protocols" / "vectors" / "v1"
N = 2048
Q = 1073692673
Answers = dict[str, Any]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quadratic(rule: list[int], modulus: int = Q, count: int = N) -> np.ndarray:
    return np.array([(rule[0] * j * j + rule[1] * j + rule[2]) % modulus for j in range(count)])


def ring(rule: list[int]) -> np.ndarray:
    return quadratic(rule).astype(np.uint32)


def values_of(group: Answers, rule: list[int], count: int) -> np.ndarray:
    return quadratic(rule, group["valuesModulus"], count) + group["valuesOffset"]


def round_key(secret: np.ndarray, seed: bytes, parameters: SchemeParameters) -> RoundKey:
    """A key that is given instead of drawn, not bound to a plan yet."""
    head = b"FMRGMPK\x01" + bytes.fromhex(parameters.digest) + bytes(32)
    packed = SecretPolynomial(secret.astype(np.uint32)).pack()
    return RoundKey.from_secret_bytes(SecretBytes(head + seed + packed), parameters)
