"""What a session is: everything that all parties must agree on, pinned by its hash.

The operator writes the manifest once as RFC 8785 JSON (`session.json`). The tagged hash of these
bytes is the session's identifier: it stands in every envelope and frame, so whoever signs anything
in a session signs the whole manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, cast

from fedmrg_secure.core.canonical import JsonValue, canonical_json, tagged_hash
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json
from fedmrg_secure.core.types import COORDINATOR, check_party_name
from fedmrg_secure.protocol.certified import MAX_MEMBERS
from fedmrg_secure.protocol.errors import InvalidManifest
from fedmrg_secure.protocol.quorum import CertificateRule, Quorum
from fedmrg_secure.protocol.snapshots import MAX_STATE_VALUES

SESSION_TAG: Final = "fedmrg/session/v1"
MANIFEST_VERSION: Final = 1
_HEX_HASH = re.compile(r"[0-9a-f]{64}")
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionManifest:
    """The terms of one session. Hashes are 64 lower-case hex digits; times are milliseconds.

    Raises:
        InvalidManifest: a field is out of range or contradicts another.
    """

    federation: str
    name: str
    """the run's name"""
    nonce: str
    """64 hex digits, fresh: two sessions with equal terms differ"""
    rounds: int
    """closed rounds after which the session is finished: passes of all training rounds"""
    scheme: str
    scheme_parameters: Mapping[str, JsonValue]
    """`crypto.parameters.SchemeParameters` as JSON"""
    scheme_digest: str
    shared_key: bool
    """an elected site makes a key and seals it to the cohort (`ckks-shared`)"""
    rotate_after: int
    """rounds before a new key is made"""
    round_keys: bool
    """every site makes a key every round and shares it among the cohort (`ckks-multiparty`)"""
    colluders: int
    """T: sites that may collude with the coordinator without any update being opened, at most
    `min_sites` - 2; 0 without `round_keys`"""
    certificate: str
    """who co-signs what a certificate names: ``threshold`` or ``unanimous`` (`protocol.quorum`)"""
    factorization_digest: str
    """hash of what the numbers of an update mean"""
    value_count: int
    """coordinates of every update"""
    state_value_count: int
    """values of the public state: what a snapshot holds"""
    base_hash: str
    tokenizer_hash: str
    initial_state_hash: str
    """hash of the shared state that the first round starts from"""
    software: str
    clip_norm: str
    """decimal"""
    precision_bits: int
    weighting: str
    """uniform or records"""
    weights: Mapping[str, int]
    """each expected site's largest weight; its keys are the session's sites"""
    roster_hash: str
    min_sites: int
    site_timeout_ms: int
    """silence after which a site is lost"""
    join_deadline_ms: int
    round_deadline_ms: int
    version: int = MANIFEST_VERSION

    def __post_init__(self) -> None:
        if self.version != MANIFEST_VERSION:
            raise InvalidManifest(f"manifest version {self.version} is not {MANIFEST_VERSION}")
        for name in _HASH_FIELDS:
            if not _HEX_HASH.fullmatch(getattr(self, name)):
                raise InvalidManifest(f"{name} is not 64 lower-case hex digits")
        for name, high in _INTEGER_FIELDS.items():
            if not 1 <= getattr(self, name) <= high:
                raise InvalidManifest(f"{name} must be 1 to {high}, got {getattr(self, name)}")
        if not _DECIMAL.fullmatch(self.clip_norm):
            raise InvalidManifest(f"clip_norm {self.clip_norm!r} is not a decimal number")
        if self.weighting not in ("uniform", "records"):
            raise InvalidManifest(f"weighting {self.weighting!r} is neither uniform nor records")
        for site, weight in self.weights.items():
            check_party_name(site)
            if site == COORDINATOR:
                raise InvalidManifest(f"no site may be named {COORDINATOR}")
            if not 1 <= weight <= 1 << 32:
                raise InvalidManifest(f"the weight cap of {site} must be 1 to 2^32, got {weight}")
        if self.certificate not in ("threshold", "unanimous"):
            raise InvalidManifest(
                f"certificate {self.certificate!r} is neither threshold nor unanimous"
            )
        if not 0 <= self.colluders <= 10_000 * self.round_keys:
            raise InvalidManifest(f"colluders={self.colluders} does not fit round_keys")
        if self.round_keys and self.shared_key:
            raise InvalidManifest("a session has a shared key or round keys, not both")
        if self.round_keys and len(self.weights) > MAX_MEMBERS:
            raise InvalidManifest(
                f"round keys are for at most {MAX_MEMBERS} sites, not {len(self.weights)}"
            )
        if self.round_keys and self.min_sites < self.colluders + 2:
            raise InvalidManifest(
                f"{self.min_sites} sites cannot withstand {self.colluders} colluders among them: "
                "a sum less the colluders' updates must be of two sites at least"
            )
        if len(self.weights) < self.min_sites:
            raise InvalidManifest(
                f"{len(self.weights)} sites can never be min_sites={self.min_sites}"
            )

    @property
    def sites(self) -> tuple[str, ...]:
        """The expected sites, sorted by name."""
        return tuple(sorted(self.weights))

    @property
    def quorum(self) -> Quorum:
        """How many sites certify a statement and open a sum, where there are round keys."""
        return Quorum(self.colluders, cast(CertificateRule, self.certificate))

    def to_bytes(self) -> bytes:
        """The manifest's RFC 8785 encoding: what is stored, sent and hashed."""
        return canonical_json({field.name: getattr(self, field.name) for field in fields(self)})

    @property
    def session_id(self) -> bytes:
        """The session's identifier, 32 bytes: `tagged_hash(SESSION_TAG, to_bytes())`."""
        return tagged_hash(SESSION_TAG, self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionManifest:
        """The manifest that `data` encodes.

        Raises:
            InvalidManifest: `data` is not the RFC 8785 encoding of a valid manifest: unknown,
                missing or repeated keys, other types, spaces, floats.
        """
        try:
            value = read_json(data)
        except JsonRefused as error:
            raise InvalidManifest(f"the session manifest {error}") from error
        if not isinstance(value, dict):
            raise InvalidManifest("the session manifest is not a JSON object")
        names = {field.name for field in fields(cls)}
        if value.keys() != names:
            raise InvalidManifest(
                f"keys missing: {sorted(names - value.keys())}, "
                f"unknown: {sorted(value.keys() - names)}"
            )
        _check_types(value)
        try:
            manifest = cls(**value)
            canonical = manifest.to_bytes()
        except InvalidManifest:
            raise
        except (ValueError, FedmrgError) as error:
            raise InvalidManifest(f"the session manifest is invalid: {error}") from error
        if canonical != data:
            raise InvalidManifest("the session manifest is not in RFC 8785 form")
        return manifest

    def write(self, path: Path) -> None:
        """Write `to_bytes()` to `path`."""
        path.write_bytes(self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> SessionManifest:
        """The manifest in the file `path`.

        Raises:
            InvalidManifest: the file is absent or not a manifest; its name is in the error.
        """
        try:
            return cls.from_bytes(path.read_bytes())
        except OSError as error:
            raise InvalidManifest(
                f"the session manifest cannot be read: {error.strerror}", location=str(path)
            ) from error
        except InvalidManifest as error:
            raise InvalidManifest(error.message, hint=error.hint, location=str(path)) from error


_HASH_FIELDS: Final = (
    "nonce",
    "scheme_digest",
    "factorization_digest",
    "base_hash",
    "tokenizer_hash",
    "initial_state_hash",
    "roster_hash",
)
_MAX_DAYS_MS: Final = 30 * 24 * 3600 * 1000
_INTEGER_FIELDS: Final = {
    "rounds": 1_000_000,
    "rotate_after": 1_000_000,
    "value_count": 1 << 40,
    "state_value_count": MAX_STATE_VALUES,
    "precision_bits": 62,
    "min_sites": 10_000,
    "site_timeout_ms": _MAX_DAYS_MS,
    "join_deadline_ms": _MAX_DAYS_MS,
    "round_deadline_ms": _MAX_DAYS_MS,
}
_TEXT_FIELDS: Final = (
    "federation",
    "name",
    "scheme",
    "software",
    "clip_norm",
    "weighting",
    "certificate",
)


def _check_types(value: dict[str, Any]) -> None:
    """Every field has its JSON type; `True` is no integer."""
    expected: dict[str, type] = {
        **dict.fromkeys((*_HASH_FIELDS, *_TEXT_FIELDS), str),
        **dict.fromkeys((*_INTEGER_FIELDS, "version"), int),
        "shared_key": bool,
        "round_keys": bool,
        "colluders": int,
        "scheme_parameters": dict,
        "weights": dict,
    }
    for name, kind in expected.items():
        if type(value[name]) is not kind:
            raise InvalidManifest(f"{name} is not of JSON type {kind.__name__}")
    for name in _TEXT_FIELDS:
        if not 1 <= len(value[name]) <= 200:
            raise InvalidManifest(f"{name} must have 1 to 200 characters")
    if any(type(weight) is not int for weight in value["weights"].values()):
        raise InvalidManifest("weights are not all integers")
