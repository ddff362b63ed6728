"""The entries of a ledger: what each holds, how they hang together, and how they are read back.

An entry is one line of canonical JSON. It names the hash of the chain before it; the chain's hash
after it covers that and the line, so that no line can be changed, taken out or moved without
changing every hash that follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from fedmrg_secure.core.canonical import HASH_BYTES, JsonValue, canonical_json, tagged_hash
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.privacy.events import UNITS, PrivacyEvent, event_from_json

FORM: Final = "fedmrg/privacy-ledger/v1"
START: Final = bytes(HASH_BYTES)
"""The chain's hash before the first entry."""

_ENTRY_TAG: Final = "fedmrg/privacy-ledger/entry/v1"
_CHAIN_TAG: Final = "fedmrg/privacy-ledger/chain/v1"
_FIELDS: Final[Mapping[str, set[str]]] = {
    "opened": {"ledger", "dataset", "unit", "delta", "budget", "file"},
    "budget": {"budget"},
    "reserved": {"reservation", "run", "round", "event", "epsilon"},
    "settled": {"reservation", "outcome"},
    "adopted": {"file"},
}
_COMMON: Final = {"form", "seq", "before", "time", "salt", "type"}

Outcome = Literal["finished", "failed"]


class LedgerBroken(FedmrgError):
    """A ledger's entries do not hang together: damaged, changed, shortened or rolled back."""

    code: ClassVar[str] = "FMRG-4641"


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """How far a ledger has come: what its site tells its peers.

    Attributes:
        ledger: 16 random bytes that name it, hex.
        entries: how many it has.
        chain: the chain's hash after them, hex.
    """

    ledger: str
    entries: int
    chain: str


@dataclass(slots=True)
class Spending:
    """One reservation, and what became of it.

    Attributes:
        reservation: 16 random bytes, hex.
        run: what it was for: the session.
        round: its number there.
        event: what was done, or may have been.
        time: when it was reserved, by the site's clock; nothing depends on it.
        epsilon_after: of the whole ledger, as it was worked out then; nothing depends on it.
        outcome: None while nothing says that it ended. It counts as spent in any case.
    """

    reservation: str
    run: str
    round: int
    event: PrivacyEvent
    time: str
    epsilon_after: float
    outcome: Outcome | None = None


@dataclass(slots=True)
class LedgerContent:
    """What a whole ledger says."""

    ledger: str = ""
    dataset: str = ""
    unit: str = ""
    delta: float = 0.0
    budget: float = 0.0
    file: int = 0
    spendings: dict[str, Spending] = field(default_factory=dict)
    digests: list[bytes] = field(default_factory=list)
    chains: list[bytes] = field(default_factory=list)

    @property
    def head(self) -> LedgerHead:
        """The head after all entries."""
        return LedgerHead(self.ledger, len(self.chains), self.chain.hex())

    @property
    def chain(self) -> bytes:
        """The chain's hash after all entries."""
        return self.chains[-1] if self.chains else START

    @property
    def events(self) -> list[PrivacyEvent]:
        """What was reserved, whatever became of it."""
        return [each.event for each in self.spendings.values()]

    def add(self, line: bytes) -> None:
        """Read one more entry.

        Raises:
            LedgerBroken: it is malformed, or does not follow.
            UnknownEvent: it reserved something that this version cannot account for.
        """
        seq = len(self.chains)
        entry = _parse(line, seq)
        if entry["before"] != self.chain.hex():
            raise _broken(f"entry {seq} does not follow from what is before it")
        try:
            self._apply(entry, seq)
        except (KeyError, TypeError, ValueError) as error:
            raise _broken(f"entry {seq} is malformed") from error
        digest = tagged_hash(_ENTRY_TAG, line)
        self.chains.append(chain_after(self.chain, digest))
        self.digests.append(digest)

    def _apply(self, entry: Mapping[str, object], seq: int) -> None:
        kind = entry["type"]
        if (kind == "opened") != (seq == 0):
            raise _broken(f"entry {seq} opens the ledger again, or the first does not")
        if kind == "opened":
            self.ledger, self.dataset = str(entry["ledger"]), str(entry["dataset"])
            self.unit, self.delta = str(entry["unit"]), _positive(entry["delta"])
            if self.unit not in UNITS:
                raise ValueError("unit")
        if "budget" in entry:
            self.budget = _positive(entry["budget"])
        if "file" in entry:
            self.file = _whole(entry["file"])
        if kind == "reserved":
            name = str(entry["reservation"])
            if name in self.spendings:
                raise _broken(f"entry {seq} reserves again under an old name")
            self.spendings[name] = Spending(
                name,
                str(entry["run"]),
                _whole(entry["round"]),
                event_from_json(entry["event"]),
                str(entry["time"]),
                _positive(entry["epsilon"]),
            )
        if kind == "settled":
            spending = self.spendings.get(str(entry["reservation"]))
            if spending is None or spending.outcome is not None:
                raise _broken(f"entry {seq} settles what is not open")
            if entry["outcome"] not in ("finished", "failed"):
                raise ValueError("outcome")
            spending.outcome = "finished" if entry["outcome"] == "finished" else "failed"


def encode(
    content: LedgerContent, kind: str, time: str, salt: str, fields: Mapping[str, JsonValue]
) -> bytes:
    """The line, without its newline, of the entry that comes next.

    Args:
        content: what the ledger says so far.
        kind: one of the types of entries.
        time: ISO 8601, for people.
        salt: 16 random bytes, hex: the hash of an entry, which peers see, says nothing about it.
        fields: what this kind has.
    """
    common: dict[str, JsonValue] = {
        "form": FORM,
        "seq": len(content.chains),
        "before": content.chain.hex(),
        "time": time,
        "salt": salt,
        "type": kind,
    }
    return canonical_json({**common, **fields})


def chain_after(before: bytes, digest: bytes) -> bytes:
    """The chain's hash after an entry, from the one before and the entry's own; 32 bytes."""
    return tagged_hash(_CHAIN_TAG, before, digest)


def check_extension(before: LedgerHead, after: LedgerHead, digests: Sequence[bytes]) -> None:
    """Check that a ledger only grew between two heads that its site showed.

    Args:
        before: the head that was seen first.
        after: the head that was seen later.
        digests: the hashes of the entries in between, as their site gives them, 32 bytes each.

    Guarantee:
        When this returns, the ledger behind `after` begins with the entries behind `before`, unless
        SHA-256 is broken. A ledger that was restored from a backup older than `before`, or begun
        anew, does not.

    Raises:
        LedgerBroken: it did not.
    """
    chain = bytes.fromhex(before.chain)
    for digest in digests:
        chain = chain_after(chain, digest)
    grown = before.entries + len(digests)
    if (before.ledger, grown, chain.hex()) != (after.ledger, after.entries, after.chain):
        raise LedgerBroken(
            "a site's privacy ledger is not the continuation of the one that it showed before",
            hint="it was restored from a backup or begun anew: ask the site what it has spent",
        )


def _parse(line: bytes, seq: int) -> Mapping[str, object]:
    try:
        entry = json.loads(line)
        kind = entry["type"]
        whole = canonical_json(entry) == line and set(entry) == _COMMON | _FIELDS[kind]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _broken(f"entry {seq} is malformed or of an unknown type") from None
    if not whole or entry["form"] != FORM or entry["seq"] != seq:
        raise _broken(f"entry {seq} is not of the form {FORM}, or not the one with that number")
    return dict(entry)


def _positive(value: object) -> float:
    number = float(str(value))
    if not 0 < number < float("inf"):
        raise ValueError("not a positive number")
    return number


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("not a whole number")
    return value


def _broken(what: str) -> LedgerBroken:
    return LedgerBroken(
        f"the privacy ledger is broken: {what}",
        hint="train no more on this data set before it is known what was spent; keep the file",
    )
