"""What `fedmrg doctor` looks at in the installation: versions, self-tests, the base model."""

from __future__ import annotations

import re
import sys
import time
from importlib import metadata
from typing import Final

from fedmrg_secure.cli.check import Check

DISTRIBUTION: Final = "fedmrg-secure"
SHOWN_PACKAGES: Final = (
    *("torch", "transformers", "peft", "tenseal", "cryptography", "grpcio", "protobuf"),
)
EXTRAS: Final = {
    "dicom": "compressed DICOM images",
    "fast": "compiled encryption",
    "smollm2": "the SmolLM2-135M decoder",
}


def check_python() -> Check:
    """Which Python runs; an older one than 3.11 cannot import this file."""
    return Check("python", "ok", f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.prefix}")


def check_packages() -> Check:
    """Installed versions against the ranges that this package declares."""
    from packaging.requirements import Requirement

    missing, foreign, count = [], [], 0
    for line in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            foreign.append(f"{requirement.name} {version} (wanted {requirement.specifier})")
    mend = "install again with the exact versions of constraints.txt"
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", mend)
    if foreign:
        return Check("packages", "warn", f"outside the range: {', '.join(foreign)}", mend)
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN_PACKAGES)
    return Check("packages", "ok", f"{count} in range; {shown}")


def check_extra(extra: str) -> Check:
    """Whether an optional part is installed; its absence is no fault."""
    from packaging.requirements import Requirement

    wanted = [
        requirement.name
        for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or [])
        if requirement.marker
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
    ]
    installed = {re.sub(r"[-_.]+", "-", each.name).lower() for each in metadata.distributions()}
    absent = [name for name in wanted if re.sub(r"[-_.]+", "-", name).lower() not in installed]
    if absent:
        mend = f"for {EXTRAS[extra]}: pip install '{DISTRIBUTION}[{extra}]'"
        return Check(f"extra {extra}", "ok", "not installed (optional)", mend)
    return Check(f"extra {extra}", "ok", f"installed: {EXTRAS[extra]}")


def check_signatures() -> Check:
    """Ed25519 and HPKE (RFC 9180) of the installed cryptography library."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fedmrg_secure.crypto.seal_key import (
        generate_seal_key,
        open_sealed,
        seal,
        seal_public_key,
    )

    signing = Ed25519PrivateKey.generate()
    signature = signing.sign(b"fedmrg")
    signing.public_key().verify(signature, b"fedmrg")
    try:
        signing.public_key().verify(signature, b"other")
    except InvalidSignature:
        key = generate_seal_key()
        sealed = seal(seal_public_key(key), b"secret", b"info")
        if open_sealed(key, sealed, b"info").reveal() == b"secret":
            return Check("signatures and sealing", "ok", "Ed25519 and HPKE work")
    return Check("signatures and sealing", "fail", "a self-test gave a wrong result")


def check_encryption() -> Check:
    """Three encrypted vectors, added without the key, opened: the exact plaintext sum."""
    import numpy as np

    from fedmrg_secure.crypto.parameters import CKKS_SHARED, SchemeParameters
    from fedmrg_secure.crypto.residues import add_mod
    from fedmrg_secure.crypto.schemes import make_scheme, new_key

    bound, count, sites = 1 << 22, 4096, 3
    parameters = SchemeParameters.for_config(
        CKKS_SHARED, sites=sites, max_abs_value=bound, max_norm=bound
    )
    scheme = make_scheme(parameters, new_key(parameters))
    limit = bound // 64  # the norm of a whole block stays below its bound
    vectors = np.random.default_rng(1).integers(-limit, limit, (sites, count), dtype=np.int64)
    start = time.perf_counter()
    chunks = [scheme.encrypt_chunk(0, vector) for vector in vectors]
    total = chunks[0].residues.copy()
    for chunk in chunks[1:]:
        add_mod(total, chunk.residues, parameters.modulus)
    opened = scheme.open_chunk(0, total, [chunk.openers for chunk in chunks], count)
    milliseconds = 1000 * (time.perf_counter() - start)
    if not np.array_equal(opened, vectors.sum(axis=0)):
        mend = "do not train with this installation; install tenseal again"
        return Check("encryption", "fail", "the opened sum differs from the plaintext sum", mend)
    detail = f"{CKKS_SHARED}: sum of {sites} x {count:,} values exact, {milliseconds:.0f} ms"
    return Check("encryption", "ok", detail)


def check_multiparty() -> Check:
    """Two sites' encrypted vectors, added, opened with shares; and what computes it."""
    import numpy as np

    from fedmrg_secure.crypto.multiparty.engine import engine_name
    from fedmrg_secure.crypto.multiparty.scheme import (
        CkksMultiparty,
        RoundKey,
        add_shares,
        combine,
    )
    from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
    from fedmrg_secure.crypto.residues import add_mod

    bound, count, plan = 1000, 8000, bytes(range(32))
    parameters = SchemeParameters.for_config(CKKS_MULTIPARTY, sites=2, max_abs_value=bound)
    vectors = np.random.default_rng(1).integers(-bound, bound, (2, count), dtype=np.int64)
    keys = [RoundKey.generate(parameters) for _ in vectors]
    first, second = (
        CkksMultiparty(parameters, plan, count, key).encrypt_chunk(0, vector).residues
        for key, vector in zip(keys, vectors, strict=True)
    )
    add_mod(first, second, parameters.modulus)
    dealt = [key.shares(3, 2) for key in keys]
    sums = [add_shares([shares[holder] for shares in dealt]) for holder in (0, 2)]
    opener = CkksMultiparty(parameters, plan, count, sum_key=combine(sums, 2))
    opened = opener.open_chunk(0, first, [b"", b""], count)
    if not np.array_equal(opened, vectors.sum(axis=0)):
        mend = "do not train with this installation; install numpy and numba again"
        return Check("multiparty encryption", "fail", "the opened sum differs", mend)
    engine = engine_name()
    mend = f"several times as fast with Numba: pip install '{DISTRIBUTION}[fast]'"
    detail = f"{CKKS_MULTIPARTY}: sum of 2 x {count:,} values as it should be, computed by {engine}"
    return Check("multiparty encryption", "ok", detail, mend if engine == "NumPy" else "")


def check_base_model() -> Check:
    """The shipped decoder's files have their pinned hashes and load."""
    import torch

    from fedmrg_secure.model.pretrained import load_decoder

    decoder = load_decoder("builtin", allow_hub=False, dtype=torch.float32)
    count = sum(parameter.numel() for parameter in decoder.model.parameters())
    return Check("base model", "ok", f"built-in decoder, {count:,} parameters, hashes as pinned")
