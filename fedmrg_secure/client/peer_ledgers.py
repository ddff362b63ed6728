"""What this site knows of the other sites' privacy ledgers, and whether each only grows.

Every commitment holds the head of its site's ledger. A site remembers the last head of each other
site and asks of the next one that it continues it: a ledger that was restored from a backup, or
begun anew, does not. Its patients would then lose more than their budget without anybody counting.

::

    state/ledgers_seen.json          the heads that this session's cohorts have shown
    ledgers/peers-FEDERATION.json    the last heads of all sessions: where the next one begins

They are two because runs may go on side by side: in one run a commitment may be seen after a later
one in another. What is known when a session is joined comes before every commitment in it, since
each names a plan that holds this site's nonce.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from fedmrg_secure.client.state import SiteStateBroken
from fedmrg_secure.core.durable import write_durably
from fedmrg_secure.privacy.ledger import PATIENCE_S
from fedmrg_secure.privacy.ledger_entries import LedgerBroken, LedgerHead, check_extension
from fedmrg_secure.privacy.ledger_file import locked
from fedmrg_secure.protocol import certified as c

SEEN_FILE: Final = "ledgers_seen.json"
_LISTED_IN_A_COHORT: Final = 4_096
"""Entries that all commitments of a cohort list together, beyond what each must list."""
_MOST_SCOPES: Final = 16
"""Ledgers of one site that are remembered."""

Finding = Literal[
    "missing", "dropped", "exchanged", "begun-anew", "rolled-back", "altered", "unproven"
]
"""What is wrong with a site's head: it shows no ledger, though this site keeps one; it shows none
any more; it shows one of another data set, unit or delta in the same session; of these the same,
but another ledger; fewer entries; other entries; or more new ones than it lists, so that nobody can
tell."""


@dataclass(frozen=True)
class SeenHead:
    """The last head of a ledger that its site has shown.

    Attributes:
        ledger, entries, chain: as in `LedgerHead`.
        round: of this session, in which it was shown; 0 for one from before.
        covered: of the own ledger: entries that the next commitment may take as known to all.
    """

    ledger: str
    entries: int
    chain: str
    round: int = 0
    covered: int = 0

    @property
    def head(self) -> LedgerHead:
        """As the ledger has it."""
        return LedgerHead(self.ledger, self.entries, self.chain)


_Heads = dict[str, dict[str, SeenHead]]
"""By site and scope (hex), the newest scope last."""


class PeerLedgers:
    """The heads that one site has seen and shown in one session.

    Args:
        name: the site's own.
        federation: its name; another one's sites of the same names are others.
        state: its state folder; belongs to the session.
        ledgers: the folder of its ledgers; outlives the session.
    """

    def __init__(self, name: str, federation: str, state: Path, ledgers: Path) -> None:
        self._name = name
        self._seen, self._lasting = state / SEEN_FILE, ledgers / f"peers-{federation}.json"

    def join(self) -> None:
        """Begin the session with what is known from those before; later calls change nothing."""
        if not self._seen.exists():
            with locked(self._lasting.parent, PATIENCE_S):
                known = _load(self._lasting)
            for scopes in known.values():
                for scope, seen in scopes.items():
                    scopes[scope] = replace(seen, round=0, covered=seen.entries)
            _save(self._seen, known)

    def show(
        self,
        head: LedgerHead,
        digests: list[bytes],
        scope: bytes,
        *,
        number: int,
        applied: int,
        sites: int,
    ) -> c.LedgerHead:
        """The own head for a commitment, kept as shown before it leaves.

        It lists the entries since the head in this site's last commitment to a round that was
        closed: every site that took part in it can follow. In small cohorts it lists more, for
        those that were away.

        Args:
            head: as the ledger stands now.
            digests: the hash of each entry.
            scope: what it is a ledger of, 32 bytes.
            number: the round.
            applied: the last round that this site has applied.
            sites: of the plan.
        """
        known = _load(self._seen)
        before = known.get(self._name, {}).get(scope.hex())
        if before is None:
            covered = head.entries
        elif before.round == applied:
            covered = before.entries
        else:
            covered = before.covered  # the round that it was shown in may not have been closed
        needed = max(0, head.entries - covered)
        listed = min(max(needed, _LISTED_IN_A_COHORT // sites), c.MAX_NEWEST_ENTRIES, len(digests))
        own = SeenHead(head.ledger, head.entries, head.chain, number, covered)
        self._remember(known, {self._name: {scope.hex(): own}})
        return c.LedgerHead(
            scope,
            bytes.fromhex(head.ledger),
            head.entries,
            bytes.fromhex(head.chain),
            tuple(digests[len(digests) - listed :]),
        )

    def look(self, number: int, shown: Mapping[str, c.LedgerHead | None]) -> dict[str, Finding]:
        """What is wrong with the heads of a cohort; nothing is remembered of them yet.

        Args:
            number: the round.
            shown: each other site's head, None where it shows no ledger.

        Returns:
            By site; whose ledger continues, or is new, is not in it.
        """
        known = _load(self._seen)
        found = {}
        for site, head in shown.items():
            finding = judge_head(known.get(site, {}), head, number)
            if finding is not None:
                found[site] = finding
        return found

    def remember(self, number: int, shown: Mapping[str, c.LedgerHead | None]) -> None:
        """Keep the heads of a cohort as the last ones, in this session and for the next."""
        heads = {
            site: {
                head.scope.hex(): SeenHead(
                    head.ledger.hex(), head.entries, head.chain.hex(), number
                )
            }
            for site, head in shown.items()
            if head is not None
        }
        self._remember(_load(self._seen), heads)

    def _remember(self, known: _Heads, heads: _Heads) -> None:
        _save(self._seen, _merged(known, heads))
        with locked(self._lasting.parent, PATIENCE_S):
            _save(self._lasting, _merged(_load(self._lasting), heads))


def judge_head(
    known: Mapping[str, SeenHead], head: c.LedgerHead | None, number: int
) -> Finding | None:
    """What is wrong with the head that a site shows in a round, by what it has shown before."""
    in_session = [scope for scope, seen in known.items() if 0 < seen.round < number]
    if head is None:
        return "dropped" if in_session else "missing"
    scope = head.scope.hex()
    if in_session and scope not in in_session:
        return "exchanged"
    before = known.get(scope)
    if before is None:
        return None
    if before.ledger != head.ledger.hex():
        return "begun-anew"
    added = head.entries - before.entries
    if added < 0:
        return "rolled-back"
    if added > len(head.newest):
        return "unproven"
    after = LedgerHead(head.ledger.hex(), head.entries, head.chain.hex())
    try:
        check_extension(before.head, after, head.newest[len(head.newest) - added :])
    except LedgerBroken:
        return "altered"
    return None


def _merged(known: _Heads, heads: _Heads) -> _Heads:
    merged = dict(known)
    for site, scopes in heads.items():
        kept = {scope: seen for scope, seen in merged.get(site, {}).items() if scope not in scopes}
        merged[site] = dict([*kept.items(), *scopes.items()][-_MOST_SCOPES:])
    return merged


def _load(path: Path) -> _Heads:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes())
        return {
            site: {scope: SeenHead(**seen) for scope, seen in scopes.items()}
            for site, scopes in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SiteStateBroken(
            f"what is known of the other sites' privacy ledgers cannot be read: {error}",
            location=str(path),
            hint="keep the file, and move it away: the sites' next heads are then the first",
        ) from error


def _save(path: Path, heads: _Heads) -> None:
    content = {
        site: {scope: asdict(seen) for scope, seen in scopes.items()}
        for site, scopes in heads.items()
    }
    write_durably(path, json.dumps(content).encode(), mode=0o600)
