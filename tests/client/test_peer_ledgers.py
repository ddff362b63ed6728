"""What a site remembers of the others' ledgers, and what it finds wrong with a head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedmrg_secure.client.peer_ledgers import SEEN_FILE, PeerLedgers
from fedmrg_secure.client.state import SiteStateBroken
from fedmrg_secure.privacy.ledger_entries import LedgerHead, chain_after
from fedmrg_secure.protocol import certified as c

SCOPE, OTHER_SCOPE = b"\1" * 32, b"\2" * 32


class Grown:
    """A ledger's chain without a file; grows by whatever entries a test wants."""

    def __init__(self, name: int = 7) -> None:
        self.name = bytes([name]) * 16
        self.digests: list[bytes] = []

    def grow(self, entries: int, kind: int = 0) -> Grown:
        start = len(self.digests)
        self.digests += [bytes([kind]) + (start + i).to_bytes(31, "big") for i in range(entries)]
        return self

    @property
    def head(self) -> LedgerHead:
        chain = bytes(32)
        for digest in self.digests:
            chain = chain_after(chain, digest)
        return LedgerHead(self.name.hex(), len(self.digests), chain.hex())

    def shown(self, newest: int = 4, scope: bytes = SCOPE) -> c.LedgerHead:
        """As a commitment has it."""
        head, listed = self.head, self.digests[len(self.digests) - newest :]
        return c.LedgerHead(
            scope, self.name, head.entries, bytes.fromhex(head.chain), tuple(listed)
        )


PEERS_FILE = "peers-lungs.json"


def joined(root: Path, session: str = "one", federation: str = "lungs") -> PeerLedgers:
    (root / session).mkdir(exist_ok=True)
    peers = PeerLedgers("me", federation, root / session, root / "ledgers")
    peers.join()
    return peers


def see(peers: PeerLedgers, number: int, head: c.LedgerHead | None) -> str | None:
    found = peers.look(number, {"x": head}).get("x")
    peers.remember(number, {"x": head})
    return found


def test_a_first_head_and_one_that_continues_it_are_sound(tmp_path: Path) -> None:
    peers, ledger = joined(tmp_path), Grown().grow(5)
    assert see(peers, 1, ledger.shown()) is None
    assert see(peers, 2, ledger.shown()) is None  # nothing was charged
    assert see(peers, 3, ledger.grow(2).shown()) is None
    assert see(peers, 9, ledger.grow(4).shown()) is None  # this site was away meanwhile


def test_what_does_not_continue_is_told_once_as_what_it_is(tmp_path: Path) -> None:
    first = Grown().grow(6)
    bad = {
        "rolled-back": Grown().grow(4).shown(),
        "altered": Grown().grow(4).grow(4, kind=1).shown(),
        "begun-anew": Grown(8).grow(9).shown(),
        "exchanged": Grown(8).grow(9).shown(scope=OTHER_SCOPE),
        "unproven": Grown().grow(11).shown(),
    }
    for place, (finding, head) in enumerate(bad.items()):
        peers = joined(tmp_path, f"session-{place}")
        (tmp_path / "ledgers" / PEERS_FILE).unlink(missing_ok=True)
        see(peers, 1, first.shown())
        assert see(peers, 2, head) == finding
        assert see(peers, 3, head) is None
    peers = joined(tmp_path, "last")
    (tmp_path / "ledgers" / PEERS_FILE).unlink()
    see(peers, 1, first.shown())
    assert see(peers, 2, None) == "dropped"


def test_who_never_shows_a_ledger_is_told_until_it_does(tmp_path: Path) -> None:
    peers = joined(tmp_path)
    assert see(peers, 1, None) == "missing"
    assert see(peers, 2, None) == "missing"
    assert see(peers, 3, Grown().grow(6).shown()) is None
    later = joined(tmp_path, "later")
    assert see(later, 1, None) == "missing"  # what it showed in another session was of another run


def test_the_same_length_with_another_chain_is_altered_even_if_entries_are_forged(
    tmp_path: Path,
) -> None:
    peers = joined(tmp_path)
    true, other = Grown().grow(6), Grown().grow(5).grow(1, kind=1)
    see(peers, 1, true.shown())
    assert peers.look(2, {"x": other.shown()}) == {"x": "altered"}
    later = Grown().grow(5).grow(3, kind=1).shown()
    forged = replace(later, newest=tuple(true.digests[-2:]))
    assert peers.look(2, {"x": forged}) == {"x": "altered"}


def test_a_round_looked_at_again_after_a_kill_finds_the_same_and_tells_no_more(
    tmp_path: Path,
) -> None:
    peers, back = joined(tmp_path), Grown().grow(4).shown()
    see(peers, 1, Grown().grow(6).shown())
    assert peers.look(2, {"x": back}) == {"x": "rolled-back"}
    assert joined(tmp_path).look(2, {"x": back}) == {"x": "rolled-back"}  # killed before
    peers.remember(2, {"x": back})
    assert joined(tmp_path).look(2, {"x": back}) == {}  # killed after


def test_the_next_session_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    ledger = Grown().grow(6)
    see(joined(tmp_path, "one"), 5, ledger.shown())
    assert joined(tmp_path, "two").look(1, {"x": Grown().grow(3).shown()}) == {"x": "rolled-back"}
    assert joined(tmp_path, "three").look(1, {"x": Grown(9).grow(9).shown()}) == {"x": "begun-anew"}
    # A site of the same name in another federation is another site.
    assert joined(tmp_path, "other", "hearts").look(1, {"x": Grown(9).grow(9).shown()}) == {}
    # Another data set is a session's own affair; the ledger of before is not forgotten.
    peers = joined(tmp_path, "four")
    assert see(peers, 1, Grown(9).grow(2).shown(2, OTHER_SCOPE)) is None
    assert see(joined(tmp_path, "five"), 1, None) == "missing"
    assert see(joined(tmp_path, "six"), 1, ledger.grow(2).shown()) is None


def test_sessions_side_by_side_do_not_accuse_each_other(tmp_path: Path) -> None:
    """What a site shows in one run may be seen after what it shows later in another."""
    ledger = Grown().grow(3)
    one, two = joined(tmp_path, "one"), joined(tmp_path, "two")
    see(one, 1, ledger.shown(3))
    early = ledger.shown(3)
    assert see(one, 2, ledger.grow(4).shown()) is None
    assert see(two, 1, early) is None
    assert see(two, 2, ledger.grow(1).shown(5)) is None
    assert see(one, 3, ledger.shown(5)) is None


def test_a_commitment_lists_what_every_site_of_the_last_closed_round_needs(tmp_path: Path) -> None:
    peers, ledger, sites = joined(tmp_path), Grown().grow(3), 1024

    def show(number: int, applied: int, count: int = sites) -> int:
        head = peers.show(
            ledger.head, ledger.digests, SCOPE, number=number, applied=applied, sites=count
        )
        assert head == ledger.shown(len(head.newest))
        return len(head.newest)

    assert show(1, 0) == 3  # all that there is; 4,096 entries in all, 4 a site
    ledger.grow(6)
    assert show(2, 1) == 6  # since round 1, which was closed
    ledger.grow(2)
    assert show(3, 1) == 8  # round 2 was not: who did not see it knows the head of round 1
    ledger.grow(1)
    assert show(4, 3) == 4
    assert show(5, 4, count=100) == 12
    ledger.grow(200)
    assert show(6, 5) == c.MAX_NEWEST_ENTRIES


def test_a_site_lists_what_it_grew_by_between_two_sessions(tmp_path: Path) -> None:
    ledger, terms = Grown().grow(30), {"number": 1, "applied": 0, "sites": 1024}
    joined(tmp_path, "one").show(ledger.head, ledger.digests, SCOPE, **terms)
    ledger.grow(20)
    shown = joined(tmp_path, "two").show(ledger.head, ledger.digests, SCOPE, **terms)
    assert len(shown.newest) == 20


def test_a_site_that_shows_ever_other_ledgers_fills_no_disk(tmp_path: Path) -> None:
    peers = joined(tmp_path)
    for number in range(1, 60):
        see(peers, number, Grown().grow(4).shown(scope=number.to_bytes(32, "big")))
    assert (tmp_path / "one" / SEEN_FILE).stat().st_size < 8_000
    assert (tmp_path / "ledgers" / PEERS_FILE).stat().st_size < 8_000


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x":{"aa":{"ledger":1}}}', b"\xff"])
def test_a_broken_memory_is_named_and_not_taken_for_an_empty_one(
    tmp_path: Path, content: bytes
) -> None:
    peers = joined(tmp_path)
    (tmp_path / "one" / SEEN_FILE).write_bytes(content)
    with pytest.raises(SiteStateBroken, match="privacy ledgers cannot be read"):
        peers.look(1, {"x": Grown().grow(1).shown(1)})
