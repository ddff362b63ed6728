"""From a scheme's name to the object that encrypts and opens: for sites only."""

from __future__ import annotations

from fedmrg_secure.crypto.errors import KeyUnusable
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.crypto.parameters import (
    CKKS_MULTIPARTY,
    CKKS_SHARED,
    INSECURE_PLAINTEXT,
    SchemeParameters,
)
from fedmrg_secure.crypto.plaintext import InsecurePlaintext
from fedmrg_secure.crypto.scheme import Scheme


def needs_key(parameters: SchemeParameters) -> bool:
    """Whether the sites must share a key before they can encrypt."""
    return parameters.scheme == CKKS_SHARED


def needs_round_keys(parameters: SchemeParameters) -> bool:
    """Whether each site makes a key of its own for each round (`crypto.multiparty.scheme`)."""
    return parameters.scheme == CKKS_MULTIPARTY


def new_key(parameters: SchemeParameters) -> SecretBytes:
    """A fresh key for one key epoch, as bytes to be wrapped for each site.

    Raises:
        ValueError: the scheme has no key (`needs_key`).
    """
    if not needs_key(parameters):
        raise ValueError(f"{parameters.scheme} has no key")
    # Here and below: tenseal is loaded only where it is used.
    from fedmrg_secure.crypto.tenseal_shared import CkksShared

    return CkksShared.new_key(parameters)


def make_scheme(parameters: SchemeParameters, key: SecretBytes | None = None) -> Scheme:
    """The scheme that `parameters` name, where one object serves many rounds.

    ``ckks-multiparty`` does not: a `CkksMultiparty` is made for one round, with the plan's hash.

    Args:
        parameters: public, from the pinned session manifest.
        key: the shared key where `needs_key`, else None.

    Raises:
        KeyUnusable: a key is missing, is given to a scheme without one, or is another session's.
        SealUnavailable: TenSEAL's SEAL does not work on this machine.
    """
    if needs_round_keys(parameters):
        raise KeyUnusable(
            f"{parameters.scheme} has no object for many rounds: its keys belong to one round"
        )
    if parameters.scheme == INSECURE_PLAINTEXT:
        if key is not None:
            raise KeyUnusable("insecure-plaintext takes no key")
        return InsecurePlaintext(parameters)
    if key is None:
        raise KeyUnusable(f"{parameters.scheme} needs the shared key")
    from fedmrg_secure.crypto.tenseal_shared import CkksShared

    return CkksShared(parameters, key)
