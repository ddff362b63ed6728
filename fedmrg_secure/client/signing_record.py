"""What this site has signed of each round, kept before it is signed: it signs nothing else after.

A site that co-signed two included sets in one round would help a cheating coordinator to open two
sums and with them their difference. So each statement of a round is on disk before its signature
leaves, and a restart, a replay or a restored network changes nothing.

The same holds across rounds: an aborted round is repeated from the same state, and a site sends
the same update again. If the coordinator lied about the abort, and had a colluding site's share
sum, the first sum is open too. Sums over two sets that differ in few sites would then show those
sites' sum, so a second set from one state must be the first, or differ from it in as many sites as
a sum must have; a third set, which could be combined with both, is refused.

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

_KEPT: Final = 64
"""Rounds remembered; a round's number only grows, so older ones can not come back."""


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


_LOGGED: Final = {
    "round.planned": {"plan_hash": "plan", "base_state_hash": "base_state"},
    "round.committed": {"upload_root": "upload_root"},
    "cohort.signed": {"cohort_hash": "cohort"},
    "inclusion.signed": {"inclusion_hash": "inclusion", "included": "included"},
}
"""Events of the site's log, and which of their fields a record's entry has under which name."""


class SigningRecord:
    """The signed statements of one site.

    Args:
        folder: the site's state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "signed.json"

    def of_round(self, number: int) -> SignedRound | None:
        """What is signed in a round."""
        return next((one for one in self._load() if one.round == number), None)

    def begin(self, entry: SignedRound) -> SignedRound:
        """Bind this site to a round's plan; the same plan again changes nothing.

        Raises:
            SignatureRefused: another plan of this round, or a round that is not above the last one.
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
        self._save([*known, entry][-_KEPT:])
        return entry

    def commit(self, number: int, upload_root: str, shares_root: str) -> None:
        """Bind this site to an update and its key's shares, before the commitment is sent."""
        self._change(number, upload_root=upload_root, shares_root=shares_root)

    def sign_cohort(self, number: int, cohort: str) -> None:
        """Bind this site to a cohort.

        Raises:
            SignatureRefused: it is bound to another one.
        """
        entry = self._entry(number)
        if entry.cohort not in ("", cohort):
            raise _refused(f"this site has co-signed another cohort in round {number}")
        self._change(number, cohort=cohort)

    def sign_inclusion(
        self, number: int, inclusion: str, included: tuple[str, ...], *, least: int
    ) -> None:
        """Bind this site to an included set.

        Args:
            inclusion: hash of the statement, hex.
            included: its sites, sorted.
            least: the fewest sites whose sum may become known.

        Raises:
            SignatureRefused: it is bound to another one, or the set together with one of an earlier
                round from the same state could show what fewer than `least` sites sent.
        """
        entry = self._entry(number)
        if entry.inclusion not in ("", inclusion):
            raise _refused(f"this site has co-signed another included set in round {number}")
        earlier = {
            one.included: one.round
            for one in self._load()
            if one.base_state == entry.base_state and one.inclusion and one.round != number
        }
        if included not in earlier and len(earlier) > 1:
            raise _refused(
                f"round {number} has a third included set from the same state; three sums could be "
                "combined to show what single sites sent"
            )
        for sites, before in earlier.items():
            apart = set(sites) ^ set(included)
            if apart and len(apart) < least:
                raise _refused(
                    f"rounds {before} and {number} start from the same state and their included "
                    f"sets differ in {len(apart)} sites: both sums would show what these sent"
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
            self._save([known[number] for number in sorted(known)][-_KEPT:])
        return tuple(lost)

    def _entry(self, number: int) -> SignedRound:
        entry = self.of_round(number)
        if entry is None:
            raise ValueError(f"round {number} was not begun")
        return entry

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
        return [SignedRound(**{**entry, "included": tuple(entry["included"])}) for entry in entries]

    def _save(self, entries: list[SignedRound]) -> None:
        write_durably(self._path, json.dumps([asdict(one) for one in entries]).encode())


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
                    entry[name] = tuple(event[field]) if name == "included" else event[field]
    return rounds


def _refused(why: str) -> SignatureRefused:
    return SignatureRefused(
        why, hint="do not go on with this coordinator before it has been looked into"
    )
