"""The attack of Li and Micciancio (EUROCRYPT 2021) on CKKS with approximate decryptions.

CKKS decrypts c = (c0, c1) to ``c0 + c1 * s = m + e``: the message with the encryption noise left
in. Who knows a ciphertext and sees its decryption at full precision, noise included, has N linear
equations in the N coefficients of the secret: ``s = (m + e - c0) / c1``. In SEAL's transformed
domain multiplication is pointwise, so the system is diagonal.

The attacker here is the strongest one that the scheme must stand: it holds the ciphertext (as the
coordinator does) and what an honest site released as the opened values.
"""

from __future__ import annotations

import numpy as np
from tenseal import sealapi

from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.seal_files import MemoryFile, SealFormat, _body


def expand_seed(context: object, form: SealFormat, seed: bytes) -> np.ndarray:
    """c1 of a ciphertext from its public seed, shape (N,), as SEAL expands it."""
    ciphertext = sealapi.Ciphertext()
    with MemoryFile() as memory:
        memory.write(form.seeded_ciphertext(np.ones(form.ring_degree, np.uint64), seed))
        ciphertext.load(context, memory.path)
        ciphertext.save(memory.path)
        start = form.array_offset - 16
        body = _body(memory.read(1 << 20), start + 2 * form.array_bytes)
    return np.frombuffer(body, np.uint64, form.ring_degree, start + form.array_bytes)


def recover_key(
    parameters: SchemeParameters,
    context: object,
    form: SealFormat,
    c0: np.ndarray,
    seed: bytes,
    released: np.ndarray,
) -> np.ndarray:
    """The secret key that explains ``released`` as the full decryption of (c0, expand(seed)).

    Args:
        released: what the attacker saw of the opened block, shape (N,), in grid steps, with or
            without noise.

    Returns:
        Shape (N,), residues in SEAL's transformed domain.
    """
    half = parameters.ring_degree // 2
    plaintext = sealapi.Plaintext()
    slots = (released[:half] + 1j * released[half:]).tolist()
    sealapi.CKKSEncoder(context).encode(slots, float(parameters.scale), plaintext)
    with MemoryFile() as memory:
        plaintext.save(memory.path)
        body = _body(memory.read(1 << 20), 32 + 8 + 8 + 24 + form.array_bytes)
    decrypted = np.frombuffer(body, np.uint64, form.ring_degree, 32 + 8 + 8 + 24)
    modulus = parameters.modulus
    equations = zip(
        decrypted.tolist(), c0.tolist(), expand_seed(context, form, seed).tolist(), strict=True
    )
    secret = [(m - a) * pow(b, -1, modulus) % modulus for m, a, b in equations]
    return np.array(secret, dtype=np.uint64)
