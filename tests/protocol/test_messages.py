import itertools
from collections.abc import Callable

import pytest

from fedmrg_secure.core.merkle import merkle_root
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.channel import MAX_MESSAGE_BYTES
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import InvalidMessage
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase

HASH = bytes(32)
LEAVES = (b"\1" * 32, b"\2" * 32)
ALPHA, BETA = m.CohortMember("alpha", HASH, 1), m.CohortMember("beta", HASH, 1)


@pytest.mark.parametrize("weight", [0, -1, (1 << 32) + 1])
def test_weights_have_a_range(weight: int) -> None:
    with pytest.raises(InvalidMessage, match="weight"):
        m.AcceptSession(weight)


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33)])
def test_hashes_have_32_bytes(wrong: bytes) -> None:
    for made in (
        lambda: m.Announce(wrong, HASH),
        lambda: m.Announce(HASH, wrong),
        lambda: m.Acknowledge(wrong, HASH),
        lambda: m.Acknowledge(HASH, wrong),
        lambda: m.CohortMember("a", wrong, 1),
        lambda: m.IncludedSite("a", 1, wrong),
    ):
        with pytest.raises(InvalidMessage, match="bytes"):
            made()


@pytest.mark.parametrize("name", ["", "Alpha", "a b", "../etc", "a" * 64, "-a"])
def test_names_are_party_names(name: str) -> None:
    with pytest.raises(InvalidMessage, match="party name"):
        m.SiteStatus(name, m.Presence.LIVE)
    with pytest.raises(InvalidMessage, match="party name"):
        m.PublishKey(1, name, b"x")


@pytest.mark.parametrize("cohort", [(), (BETA, ALPHA), (ALPHA, ALPHA)])
def test_a_cohort_is_sorted_unique_and_not_empty(cohort: tuple[m.CohortMember, ...]) -> None:
    with pytest.raises(InvalidMessage, match="cohort"):
        m.RoundPlan(1, HASH, cohort, 0, "", HASH)


@pytest.mark.parametrize(("epoch", "maker"), [(0, "alpha"), (1, ""), (1, "gamma")])
def test_a_key_epoch_has_a_maker_in_the_cohort(epoch: int, maker: str) -> None:
    with pytest.raises(InvalidMessage, match="key_maker"):
        m.RoundPlan(1, HASH, (ALPHA, BETA), epoch, maker, HASH)


@pytest.mark.parametrize(
    ("hashes", "root", "total", "said"),
    [
        (LEAVES, HASH, 10, "root"),
        (LEAVES[::-1], merkle_root(LEAVES), 10, "root"),
        (LEAVES[:1], merkle_root(LEAVES), 10, "root"),
        ((), merkle_root(()), 10, "number of chunks"),
        (LEAVES, merkle_root(LEAVES), 0, "total_bytes"),
        (LEAVES, merkle_root(LEAVES), 1 << 49, "total_bytes"),
        ((b"short",), HASH, 10, "chunk_hashes"),
    ],
)
def test_chunk_lists_add_up(hashes: tuple[bytes, ...], root: bytes, total: int, said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        m.UploadManifest(HASH, hashes, root, total)
    with pytest.raises(InvalidMessage, match=said):
        m.AggregateInfo(1, HASH, (m.IncludedSite("a", 1, HASH),), hashes, root, total, 0, "", b"")


def test_too_many_chunks() -> None:
    hashes = tuple(itertools.repeat(HASH, 65_537))
    with pytest.raises(InvalidMessage, match="number of chunks"):
        m.UploadManifest(HASH, hashes, HASH, 1)


@pytest.mark.parametrize("closed", [(2, 1), (1, 1), (4,), (0,)])
def test_closed_rounds_ascend_up_to_the_present(closed: tuple[int, ...]) -> None:
    with pytest.raises(InvalidMessage, match="closed_rounds"):
        m.SessionStatus(
            SessionPhase.RUNNING,
            "",
            3,
            RoundPhase.UPLOADING,
            HASH,
            closed,
            None,
            False,
            False,
            False,
            False,
            (),
            False,
            False,
        )


def test_total_weight_is_of_the_included() -> None:
    included = (m.IncludedSite("a", 3, HASH), m.IncludedSite("b", 4, HASH))
    info = m.AggregateInfo(1, HASH, included, LEAVES, merkle_root(LEAVES), 5, 0, "", b"")
    assert (info.total_weight, info.sites) == (7, ("a", "b"))


INCLUSION = c.Inclusion(1, HASH, HASH, ("alpha", "beta"))
NAME = bytes(16)
FULL_HEAD = c.LedgerHead(HASH, NAME, (1 << 32) - 1, HASH, (HASH,) * c.MAX_NEWEST_ENTRIES)
COHORT = c.Cohort(1, HASH, (c.CommittedSite("alpha", HASH, HASH),))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: c.DepositShares(HASH, ()), "number of sealed"),
        (lambda: c.DepositShares(HASH, (b"x",) * 1025), "number of sealed"),
        (lambda: c.DepositShares(HASH, (b"x", b"xy")), "differ in length"),
        (lambda: c.DepositShares(HASH, (b"x", b"")), "sealed must have"),
        (lambda: c.DepositShares(HASH, (bytes(8_193),)), "sealed must have"),
        (lambda: c.DepositShareSums(b"", (b"x",)), "inclusion_hash"),
        (lambda: c.Commit(HASH, HASH, b"x"), "shares_root"),
        (lambda: c.Commit(HASH, b"", HASH), "upload_root"),
        (lambda: c.LedgerHead(b"", NAME, 1, HASH, ()), "scope"),
        (lambda: c.LedgerHead(HASH, HASH, 1, HASH, ()), "ledger"),
        (lambda: c.LedgerHead(HASH, NAME, 0, HASH, ()), "entries"),
        (lambda: c.LedgerHead(HASH, NAME, 1 << 32, HASH, ()), "entries"),
        (lambda: c.LedgerHead(HASH, NAME, 1, b"x", ()), "chain"),
        (lambda: c.LedgerHead(HASH, NAME, 1, HASH, (b"x",)), "newest"),
        (lambda: c.LedgerHead(HASH, NAME, 1, HASH, (HASH, HASH)), "newest"),
        (lambda: c.LedgerHead(HASH, NAME, 99, HASH, (HASH,) * 65), "newest"),
        (lambda: c.CohortDelivery(COHORT, (bytes(4_097),), ()), "commitments"),
        (lambda: c.CohortDelivery(COHORT, (b"x",), (bytes(513),)), "signatures"),
        (lambda: c.PublishShareSums(HASH, b""), "sums_root"),
        (lambda: c.SharesDelivery(()), "number of shares"),
        (lambda: c.ProvenShare(b"", ()), "sealed"),
        (lambda: c.ProvenShare(b"x", (b"x",)), "proof"),
        (lambda: c.ProvenShare(b"x", (HASH,) * 11), "proof"),
        (lambda: c.Cohort(1, HASH, ()), "committed"),
        (lambda: c.Cohort(1, HASH, COHORT.committed * 2), "committed"),
        (lambda: c.Cohort(0, HASH, COHORT.committed), "round"),
        (lambda: c.Inclusion(1, HASH, HASH, ("beta", "alpha")), "sites"),
        (lambda: c.Inclusion(1, HASH, HASH, ()), "sites"),
        (lambda: c.Inclusion(1, HASH, b"", ("alpha",)), "cohort_hash"),
        (lambda: c.CohortDelivery(COHORT, (), ()), "differ in length"),
        (lambda: c.CohortDelivery(COHORT, (b"x",), (b"",)), "signatures"),
        (lambda: c.CoSignCohort(bytes(31)), "cohort_hash"),
        (lambda: c.CoSignInclusion(bytes(33)), "inclusion_hash"),
        (
            lambda: c.Opening(
                m.RoundPlan(1, HASH, (ALPHA,), 0, "", HASH), INCLUSION, (), (b"x",), ()
            ),
            "differ in number",
        ),
    ],
)
def test_certified_messages_have_ranges(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        make()


def test_the_largest_messages_of_the_largest_cohort_fit_the_wire() -> None:
    names = [f"{number:063d}" for number in range(c.MAX_MEMBERS)]
    sealed = (bytes(c.MAX_SEALED_SHARE_BYTES),) * len(names)
    proven = (c.ProvenShare(sealed[0], (HASH,) * c.MAX_PROOF_HASHES),) * len(names)
    plan = m.RoundPlan(
        1, HASH, tuple(m.CohortMember(name, HASH, m.MAX_WEIGHT) for name in names), 0, "", HASH
    )
    inclusion = c.Inclusion(1, HASH, HASH, tuple(names))
    keys = SigningKey.generate(names[0])
    envelopes = [
        seal_envelope(
            keys, message, session=HASH, round_number=(1 << 32) - 1, sequence=(1 << 63)
        ).to_bytes()
        for message in (
            c.Commit(HASH, HASH, HASH, FULL_HEAD),
            c.PublishShareSums(HASH, HASH),
            c.CoSignInclusion(HASH),
        )
    ]
    commit, publication, signature = ((envelope,) * len(names) for envelope in envelopes)
    cohort = c.Cohort(1, HASH, tuple(c.CommittedSite(name, HASH, HASH) for name in names))
    for message in (
        c.DepositShares(HASH, sealed),
        c.DepositShareSums(HASH, sealed),
        c.SharesDelivery(proven),
        c.CohortDelivery(cohort, commit, signature),
        c.Opening(plan, inclusion, signature, publication, proven),
    ):
        envelope = seal_envelope(keys, message, session=HASH, sequence=1, reply_to=HASH)
        assert len(envelope.to_bytes()) < MAX_MESSAGE_BYTES


def offer(**changes: object) -> sn.OfferSnapshot:
    fields: dict[str, object] = {
        "recipient": "alpha",
        "pass_number": 1,
        "plan_hash": HASH,
        "model_hash": HASH,
        "transcript": HASH,
        "sealed_key": bytes(80),
        "chunk_hashes": LEAVES,
        "merkle_root": merkle_root(LEAVES),
        "total_bytes": 1,
    }
    return sn.OfferSnapshot(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"recipient": "../etc"},
        {"pass_number": 0},
        {"plan_hash": b""},
        {"model_hash": bytes(31)},
        {"transcript": bytes(33)},
        {"sealed_key": bytes(79)},
        {"sealed_key": bytes(81)},
        {"chunk_hashes": ()},
        {"merkle_root": HASH},
        {"total_bytes": 0},
        {"total_bytes": 1 << 49},
    ],
)
def test_an_offer_has_ranges(change: dict[str, object]) -> None:
    offer()
    with pytest.raises(InvalidMessage):
        offer(**change)


@pytest.mark.parametrize("refusal", ["no", "FMRG-1", "FMRG-62610", "fmrg-6261", "FMRG-6261\n"])
def test_a_refusal_is_a_code(refusal: str) -> None:
    sn.SettleSnapshot(HASH, "")
    sn.SettleSnapshot(HASH, "FMRG-6261")
    with pytest.raises(InvalidMessage, match="code"):
        sn.SettleSnapshot(HASH, refusal)


@pytest.mark.parametrize(
    ("values", "chunks", "last"),
    [(1, 1, 4), (1 << 18, 1, 1 << 20), ((1 << 18) + 1, 2, 4), (3 << 18, 3, 1 << 20)],
)
def test_the_size_of_a_snapshot_follows_from_its_values(
    values: int, chunks: int, last: int
) -> None:
    size = sn.SnapshotSize.of(values)
    assert (size.chunks, size.total_bytes) == (chunks, 4 * values + 16 * chunks)
    assert size.chunk_bytes(chunks - 1) == last + 16
    assert sum(map(size.chunk_bytes, range(chunks))) == size.total_bytes


def test_the_largest_offer_fits_a_message() -> None:
    size = sn.SnapshotSize.of(sn.MAX_STATE_VALUES)
    leaves = (HASH,) * size.chunks
    largest = offer(
        recipient="a" * 63,
        chunk_hashes=leaves,
        merkle_root=merkle_root(leaves),
        total_bytes=size.total_bytes,
    )
    envelope = seal_envelope(
        SigningKey.generate("b" * 63), largest, session=HASH, round_number=9, sequence=1 << 63
    )
    delivery = sn.SnapshotDelivery(envelope.to_bytes(), size.chunks)
    assert len(delivery.offer) < MAX_MESSAGE_BYTES - 1024


def test_acknowledgements_of_the_longest_names_fit_a_closure() -> None:
    said = seal_envelope(
        SigningKey.generate("a" * 63),
        m.Acknowledge(HASH, HASH),
        session=HASH,
        round_number=(1 << 32) - 1,
        sequence=(1 << 64) - 1,
    )
    sn.Closure(m.RoundPlan(1, HASH, (ALPHA,), 0, "", HASH), (said.to_bytes(),))
    request = seal_envelope(
        SigningKey.generate("a" * 63),
        sn.RequestSnapshot(),
        session=HASH,
        round_number=(1 << 32) - 1,
        sequence=(1 << 64) - 1,
    )
    m.Pulse(SessionPhase.RUNNING, 1, RoundPhase.CLOSED, request.to_bytes())
