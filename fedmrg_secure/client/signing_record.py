"""What this site has signed of each round, kept before it is signed: it signs nothing else after.

A site that co-signed two included sets in one round would help a cheating coordinator to open two
sums and with them their difference. So each statement of a round is on disk before its signature
leaves, and a restart, a replay or a restored network changes nothing.

The same holds across rounds: an aborted round is repeated from the same state, with the same
updates. If the coordinator lied about the abort, and had a colluding site's share sum, the first
sum is open too, and two sums over different sets would show what the difference sent. So from one
state a site signs one included set. For that to bind those who did not sign it, a site that has
begun to upload goes on only with a plan of which every certificate has an honest co-signer in
common with every certificate of the earlier plan (`Quorum.overlap`).

`state/signed.json` has the rounds of this session, oldest first. The site's log names the same
statements, each before it is sent: where the record was lost, or is an older copy, `restore` brings
back from the log what is missing, and the site stays out of those rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure.core.durable import write_durably
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.protocol.quorum import Quorum

_KEPT: Final = 64
"""Rounds remembered; a round's number only grows, so older ones can not come back. Those from the
state of the newest one are remembered all."""


class SignatureRefused(FedmrgError):
    """This site has signed another statement of the same round, or must not sign this one."""

    code: ClassVar[str] = "FMRG-6251"


@dataclass(frozen=True)
class SignedRound:
    """What this site is bound to in one round. Hashes are hex, empty while nothing is signed.

    Attributes:
        round: its number.
        base_state: hash of the shared state that it starts from.
        plan: of the plan that this site has committed under.
        upload_root: of the update that this site has committed to.
        shares_root: over its sealed key shares.
        cohort: of the cohort that it has co-signed.
        inclusion: of the included set that it has co-signed.
        included: the sites of that set, sorted.
        restored: known from the log alone; this site takes no further part in the round.
        sites: of the plan, sorted.
        sent: root of the update that this site has begun to upload.
    """

    round: int
    base_state: str
    plan: str
    upload_root: str = ""
    shares_root: str = ""
    cohort: str = ""
    inclusion: str = ""
    included: tuple[str, ...] = ()
    restored: bool = False
    sites: tuple[str, ...] = ()
    sent: str = ""


_LOGGED: Final = {
    "round.planned": {"plan_hash": "plan", "base_state_hash": "base_state", "cohort": "sites"},
    "round.committed": {"upload_root": "upload_root"},
    "cohort.signed": {"cohort_hash": "cohort"},
    "upload.sent": {"upload_root": "sent"},
    "inclusion.signed": {"inclusion_hash": "inclusion", "included": "included"},
}
"""Events of the site's log, and which of their fields a record's entry has under which name."""


_TUPLES: Final = ("included", "sites")


class SigningRecord:
    """The signed statements of one site.

    Args:
        folder: the site's state folder.
        quorum: the session's rule.
    """

    def __init__(self, folder: Path, quorum: Quorum) -> None:
        self._path, self._quorum = folder / "signed.json", quorum

    def of_round(self, number: int) -> SignedRound | None:
        """What is signed in a round."""
        return next((one for one in self._load() if one.round == number), None)

    def begin(self, entry: SignedRound) -> SignedRound:
        """Bind this site to a round's plan; the same plan again changes nothing.

        Raises:
            SignatureRefused: another plan of this round, a round that is not above the last one, or
                one that could certify another set with updates that this site has sent before.
        """
        known = self._load()
        current = next((one for one in known if one.round == entry.round), None)
        if current is not None:
            if current.restored:
                raise _refused(f"what this site has signed in round {entry.round} was lost")
            if current.plan != entry.plan:
                raise _refused(f"another plan of round {entry.round} was shown to this site before")
            return current
        if known and entry.round < known[-1].round:
            raise _refused(f"round {entry.round} comes after round {known[-1].round}")
        for one in _from(entry.base_state, known):
            if one.sent and not self._quorum.overlap(one.sites, entry.sites):
                raise _refused(
                    f"this site has sent its update in round {one.round}, and the "
                    f"{len(entry.sites)} sites of round {entry.round} could certify another sum of "
                    "the same updates"
                )
        self._save([*known, entry])
        return entry

    def commit(self, number: int, upload_root: str, shares_root: str) -> None:
        """Bind this site to an update and its key's shares, before the commitment is sent.

        Raises:
            SignatureRefused: it is bound to other ones.
        """
        entry = self._entry(number)
        if entry.upload_root and (entry.upload_root, entry.shares_root) != (
            upload_root,
            shares_root,
        ):
            raise _refused(f"this site has committed to another update in round {number}")
        self._change(number, upload_root=upload_root, shares_root=shares_root)

    def send(self, number: int) -> None:
        """The upload is about to begin: from now on the update may be in a certified set."""
        self._change(number, sent=self._entry(number).upload_root)

    def sign_cohort(self, number: int, cohort: str) -> None:
        """Bind this site to a cohort.

        Raises:
            SignatureRefused: it is bound to another one.
        """
        entry = self._entry(number)
        if entry.cohort not in ("", cohort):
            raise _refused(f"this site has co-signed another cohort in round {number}")
        self._change(number, cohort=cohort)

    def sign_inclusion(self, number: int, inclusion: str, included: tuple[str, ...]) -> None:
        """Bind this site to an included set.

        Args:
            inclusion: hash of the statement, hex.
            included: its sites, sorted.

        Raises:
            SignatureRefused: it is bound to another one, in this round or in an earlier one from
                the same state.
        """
        entry = self._entry(number)
        if entry.inclusion not in ("", inclusion):
            raise _refused(f"this site has co-signed another included set in round {number}")
        for one in _from(entry.base_state, self._load()):
            if one.inclusion and one.included != included:
                raise _refused(
                    f"rounds {one.round} and {number} have the same updates and other included "
                    "sets: both sums would show what the difference sent"
                )
        self._change(number, inclusion=inclusion, included=included)

    def restore(self, events: Iterable[Mapping[str, Any]], session: str) -> tuple[int, ...]:
        """Bring back what the site's log has of a session and the record has not.

        Args:
            events: of the log, in order.
            session: the session's identifier, hex.

        Returns:
            The rounds that were brought back: the record was lost, or is an older copy.
        """
        known = {one.round: one for one in self._load()}
        oldest = min(known, default=0)
        lost = []
        for number, logged in _logged_rounds(events, session).items():
            mine = known.get(number)
            missing = mine is None or any(
                value != getattr(mine, name) for name, value in logged.items()
            )
            if number >= oldest and missing:
                entry = mine or SignedRound(number, "", "")
                known[number] = replace(entry, **logged, restored=True)
                lost.append(number)
        if lost:
            self._save([known[number] for number in sorted(known)])
        return tuple(lost)

    def _entry(self, number: int) -> SignedRound:
        """The round in hand; nothing is signed in an earlier one, or in one that was lost."""
        known = self._load()
        if not known or known[-1].round != number or known[-1].restored:
            raise _refused(f"round {number} is not the one that this site takes part in")
        return known[-1]

    def _change(self, number: int, **values: str | tuple[str, ...]) -> None:
        known = self._load()
        changed = [
            replace(one, **values) if one.round == number else one  # type: ignore[arg-type]
            for one in known
        ]
        if changed != known:
            self._save(changed)

    def _load(self) -> list[SignedRound]:
        if not self._path.exists():
            return []
        entries = json.loads(self._path.read_text(encoding="utf-8"))
        return [
            SignedRound(**{**entry, **{name: tuple(entry[name]) for name in _TUPLES}})
            for entry in entries
        ]

    def _save(self, entries: list[SignedRound]) -> None:
        newest = entries[-1].base_state
        entries = _from(newest, entries[:-_KEPT]) + entries[-_KEPT:]
        write_durably(self._path, json.dumps([asdict(one) for one in entries]).encode())


def _from(base_state: str, entries: Iterable[SignedRound]) -> list[SignedRound]:
    """Those that start from one state."""
    return [one for one in entries if one.base_state == base_state]


def _logged_rounds(events: Iterable[Mapping[str, Any]], session: str) -> dict[int, dict[str, Any]]:
    """What the log has of each round of a session, by the names of `SignedRound`."""
    rounds: dict[int, dict[str, Any]] = {}
    current = ""
    for event in events:
        kind = event["type"]
        if kind == "session.accepted":
            current = event.get("session_hash", "")
        elif kind in _LOGGED and current == session:
            entry = rounds.setdefault(event["round"], {})
            for field, name in _LOGGED[kind].items():
                if field in event:
                    entry[name] = tuple(event[field]) if name in _TUPLES else event[field]
    return rounds


def _refused(why: str) -> SignatureRefused:
    return SignatureRefused(
        why, hint="do not go on with this coordinator before it has been looked into"
    )
