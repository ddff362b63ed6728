"""Messages of rounds whose sites make keys of their own: commitments, certificates, shares.

As in `protocol.messages`: one dataclass a protobuf message, checked when it is made. A
*certificate* is a statement (`Cohort`, `Inclusion`) with enough co-signatures over its hash;
`protocol.quorum` says how many are enough. Sealed bytes are HPKE output, opaque to the coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedmrg_secure.core.canonical import JsonValue
from fedmrg_secure.protocol.checks import (
    MAX_UINT32,
    check_hash,
    check_length,
    check_range,
    check_sorted_names,
)
from fedmrg_secure.protocol.errors import InvalidMessage
from fedmrg_secure.protocol.messages import RoundPlan

MAX_MEMBERS: Final = 1024
"""Sites of a cohort with round keys, as of a scheme's sum."""
MAX_SEALED_SHARE_BYTES: Final = 8_192
MAX_PROOF_HASHES: Final = 10
"""Of a tree with `MAX_MEMBERS` leaves."""
LEDGER_NAME_BYTES: Final = 16
MAX_NEWEST_ENTRIES: Final = 64
"""Of a ledger, that a commitment lists."""
_MAX_ENVELOPE_BYTES: Final = 512
_MAX_COMMITMENT_BYTES: Final = 4_096
"""Of a signed `Commit`, with as many entries as it may list."""


@dataclass(frozen=True, slots=True)
class ProvenShare:
    """A sealed share, or a sealed sum of shares, and the proof that its sender has signed for it.

    The root that the proof leads to stands in the sender's `Commit` or `PublishShareSums`; the leaf
    is the RFC 6962 leaf hash of `sealed`.
    """

    sealed: bytes
    proof: tuple[bytes, ...]
    """audit path from the leaf's sibling upwards (RFC 6962, section 2.1.1)"""

    def __post_init__(self) -> None:
        check_length("sealed", self.sealed, 1, MAX_SEALED_SHARE_BYTES)
        check_range("length of proof", len(self.proof), 0, MAX_PROOF_HASHES)
        for one in self.proof:
            check_hash("proof", one)


@dataclass(frozen=True, slots=True)
class DepositShares:
    """The shares of the sender's round key, each sealed to its holder; `Commit` names them."""

    plan_hash: bytes
    sealed: tuple[bytes, ...]
    """one for each site of the cohort, in the plan's order"""

    def __post_init__(self) -> None:
        check_hash("plan_hash", self.plan_hash)
        _check_sealed(self.sealed)


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """How far the sender's privacy ledger has come.

    Whoever knows an earlier head whose entry is before the listed ones can follow the chain from
    there: the chain after an entry is ``H("fedmrg/privacy-ledger/chain/v1", chain before, hash)``.
    """

    scope: bytes
    """of what the ledger is: hash of the data set's name, the unit and delta"""
    ledger: bytes
    """16 random bytes of its beginning: one that is begun anew has others"""
    entries: int
    chain: bytes
    """hash of the chain after all entries"""
    newest: tuple[bytes, ...]
    """hashes of the newest entries, oldest first, at most `MAX_NEWEST_ENTRIES`"""

    def __post_init__(self) -> None:
        check_hash("scope", self.scope)
        check_length("ledger", self.ledger, LEDGER_NAME_BYTES, LEDGER_NAME_BYTES)
        check_range("entries", self.entries, 1, MAX_UINT32)
        check_hash("chain", self.chain)
        most = min(MAX_NEWEST_ENTRIES, self.entries)
        check_range("length of newest", len(self.newest), 0, most)
        for one in self.newest:
            check_hash("newest", one)

    @property
    def logged(self) -> dict[str, JsonValue]:
        """What every party's log says of it."""
        return {"ledger_hash": self.chain.hex(), "ledger_entries": self.entries}


@dataclass(frozen=True, slots=True)
class Commit:
    """The sender is bound to one update and one key, before anybody sees who else is."""

    plan_hash: bytes
    upload_root: bytes
    """RFC 6962 root over the frames that the sender will upload"""
    shares_root: bytes
    """RFC 6962 root over the sealed shares, in the plan's order"""
    ledger: LedgerHead | None = None
    """of the sender's privacy ledger, read after the plan was made; None where it keeps none"""

    def __post_init__(self) -> None:
        check_hash("plan_hash", self.plan_hash)
        check_hash("upload_root", self.upload_root)
        check_hash("shares_root", self.shares_root)


@dataclass(frozen=True, slots=True)
class CommittedSite:
    """One site of a cohort and what it is bound to."""

    site: str
    upload_root: bytes
    commitment: bytes
    """digest of its signed `Commit`"""

    def __post_init__(self) -> None:
        check_hash("upload_root", self.upload_root)
        check_hash("commitment", self.commitment)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Who may be in the round's sum, with which upload. Its hash is `hashes.cohort_hash`."""

    round: int
    plan_hash: bytes
    committed: tuple[CommittedSite, ...]
    """sorted by name"""

    def __post_init__(self) -> None:
        check_range("round", self.round, 1, MAX_UINT32)
        check_hash("plan_hash", self.plan_hash)
        check_sorted_names("committed", [one.site for one in self.committed])
        check_range("length of committed", len(self.committed), 1, MAX_MEMBERS)

    @property
    def sites(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(one.site for one in self.committed)


@dataclass(frozen=True, slots=True)
class GetCohort:
    """Asks for the cohort of the envelope's round and the co-signatures so far."""


@dataclass(frozen=True, slots=True)
class CohortDelivery:
    """The cohort, each site's own word for it, and the co-signatures so far."""

    cohort: Cohort
    commitments: tuple[bytes, ...]
    """each committed site's `Commit` envelope, in the cohort's order"""
    signatures: tuple[bytes, ...]
    """`CoSignCohort` envelopes"""

    def __post_init__(self) -> None:
        _check_envelopes("commitments", self.commitments, _MAX_COMMITMENT_BYTES)
        _check_envelopes("signatures", self.signatures)
        if len(self.commitments) != len(self.cohort.committed):
            raise InvalidMessage("commitments and cohort differ in length")


@dataclass(frozen=True, slots=True)
class CoSignCohort:
    """The sender has seen this cohort, found itself as it committed, and signs no other."""

    cohort_hash: bytes

    def __post_init__(self) -> None:
        check_hash("cohort_hash", self.cohort_hash)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Whose uploads are added in the round. Its hash is `hashes.inclusion_hash`."""

    round: int
    plan_hash: bytes
    cohort_hash: bytes
    sites: tuple[str, ...]
    """sorted"""

    def __post_init__(self) -> None:
        check_range("round", self.round, 1, MAX_UINT32)
        check_hash("plan_hash", self.plan_hash)
        check_hash("cohort_hash", self.cohort_hash)
        check_sorted_names("sites", list(self.sites))
        check_range("length of sites", len(self.sites), 1, MAX_MEMBERS)


@dataclass(frozen=True, slots=True)
class GetInclusion:
    """Asks for the included set of the envelope's round and the co-signatures so far."""


@dataclass(frozen=True, slots=True)
class InclusionDelivery:
    """The included set and the co-signatures so far."""

    inclusion: Inclusion
    signatures: tuple[bytes, ...]
    """`CoSignInclusion` envelopes"""

    def __post_init__(self) -> None:
        _check_envelopes("signatures", self.signatures)


@dataclass(frozen=True, slots=True)
class CoSignInclusion:
    """The sender opens the sum of exactly these sites in this round, and of no others."""

    inclusion_hash: bytes

    def __post_init__(self) -> None:
        check_hash("inclusion_hash", self.inclusion_hash)


@dataclass(frozen=True, slots=True)
class FetchShares:
    """Asks for the shares of the included sites' keys that are sealed to the caller."""


@dataclass(frozen=True, slots=True)
class SharesDelivery:
    """The caller's sealed shares, in the included set's order."""

    shares: tuple[ProvenShare, ...]

    def __post_init__(self) -> None:
        check_range("number of shares", len(self.shares), 1, MAX_MEMBERS)


@dataclass(frozen=True, slots=True)
class DepositShareSums:
    """The sum of the sender's shares, sealed to each site; `PublishShareSums` names them."""

    inclusion_hash: bytes
    sealed: tuple[bytes, ...]
    """one for each site of the session, in order of name"""

    def __post_init__(self) -> None:
        check_hash("inclusion_hash", self.inclusion_hash)
        _check_sealed(self.sealed)


@dataclass(frozen=True, slots=True)
class PublishShareSums:
    """The sender vouches for what it deposited."""

    inclusion_hash: bytes
    sums_root: bytes
    """RFC 6962 root over the sealed share sums, in order of the sites' names"""

    def __post_init__(self) -> None:
        check_hash("inclusion_hash", self.inclusion_hash)
        check_hash("sums_root", self.sums_root)


@dataclass(frozen=True, slots=True)
class FetchOpening:
    """Asks for what the caller needs to open the sum of the envelope's round."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything that opens one round's sum for the caller, also long after the round."""

    plan: RoundPlan
    inclusion: Inclusion
    signatures: tuple[bytes, ...]
    """`CoSignInclusion` envelopes"""
    publications: tuple[bytes, ...]
    """`PublishShareSums` envelopes"""
    share_sums: tuple[ProvenShare, ...]
    """each publisher's share sum sealed to the caller, in the order of `publications`"""

    def __post_init__(self) -> None:
        _check_envelopes("signatures", self.signatures)
        _check_envelopes("publications", self.publications)
        if len(self.share_sums) != len(self.publications):
            raise InvalidMessage("publications and sealed share sums differ in number")


Message = (
    DepositShares
    | Commit
    | GetCohort
    | CohortDelivery
    | CoSignCohort
    | GetInclusion
    | InclusionDelivery
    | CoSignInclusion
    | FetchShares
    | SharesDelivery
    | DepositShareSums
    | PublishShareSums
    | FetchOpening
    | Opening
)


def _check_sealed(sealed: tuple[bytes, ...]) -> None:
    check_range("number of sealed shares", len(sealed), 1, MAX_MEMBERS)
    for one in sealed:
        check_length("sealed", one, 1, MAX_SEALED_SHARE_BYTES)
    if len({len(one) for one in sealed}) > 1:
        raise InvalidMessage("sealed shares differ in length")


def _check_envelopes(
    name: str, envelopes: tuple[bytes, ...], most_bytes: int = _MAX_ENVELOPE_BYTES
) -> None:
    check_range(f"length of {name}", len(envelopes), 0, MAX_MEMBERS)
    for one in envelopes:
        check_length(name, one, 1, most_bytes)
