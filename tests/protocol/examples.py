"""Hypothesis strategies for every message, and keys to sign them."""

from dataclasses import replace

from hypothesis import strategies as st

from fedmrg_secure.core.merkle import merkle_root
from fedmrg_secure.crypto.signing import SigningKey, verify_signature
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.phases import Presence, RoundPhase, SessionPhase

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hashes = st.binary(min_size=32, max_size=32)
rounds = st.integers(1, (1 << 32) - 1)
weights = st.integers(1, 1 << 32)
sorted_names = st.lists(names, min_size=1, max_size=5, unique=True).map(sorted)


@st.composite
def chunk_lists(draw: st.DrawFn) -> tuple[tuple[bytes, ...], bytes, int]:
    leaves = tuple(draw(st.lists(hashes, min_size=1, max_size=4)))
    return leaves, merkle_root(leaves), draw(st.integers(1, 1 << 48))


@st.composite
def plans(draw: st.DrawFn) -> m.RoundPlan:
    sites = draw(sorted_names)
    epoch = draw(st.integers(0, 3))
    return m.RoundPlan(
        draw(rounds),
        draw(hashes),
        tuple(m.CohortMember(site, draw(hashes), draw(weights)) for site in sites),
        epoch,
        draw(st.sampled_from(sites)) if epoch else "",
        draw(hashes),
    )


@st.composite
def statuses(draw: st.DrawFn) -> m.SessionStatus:
    number = draw(rounds)
    closed = draw(st.lists(st.integers(1, number), max_size=4, unique=True).map(sorted))
    return m.SessionStatus(
        draw(st.sampled_from(SessionPhase)),
        draw(st.text(max_size=100)),
        number,
        draw(st.sampled_from(RoundPhase)),
        draw(hashes),
        tuple(closed),
        draw(st.none() | plans().map(lambda plan: replace(plan, round=number))),
        *(draw(st.booleans()) for _ in range(4)),
        tuple(m.SiteStatus(site, draw(st.sampled_from(Presence))) for site in draw(sorted_names)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def aggregates(draw: st.DrawFn) -> m.AggregateInfo:
    sites = draw(sorted_names)
    included = tuple(m.IncludedSite(site, draw(weights), draw(hashes)) for site in sites)
    epoch = draw(st.integers(0, 3))
    return m.AggregateInfo(
        draw(rounds),
        draw(hashes),
        included,
        *draw(chunk_lists()),
        epoch,
        sites[0] if epoch else "",
        draw(st.just(b"") | hashes),
    )


envelopes = st.lists(st.binary(min_size=1, max_size=50), max_size=4).map(tuple)
sealed_lists = (
    st.integers(1, 50)
    .flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=4))
    .map(tuple)
)
proven = st.builds(
    c.ProvenShare, st.binary(min_size=1, max_size=50), st.lists(hashes, max_size=10).map(tuple)
)
proven_lists = st.lists(proven, min_size=1, max_size=4).map(tuple)


@st.composite
def ledger_heads(draw: st.DrawFn) -> c.LedgerHead:
    newest = tuple(draw(st.lists(hashes, max_size=4)))
    entries = draw(st.integers(max(1, len(newest)), (1 << 32) - 1))
    name = draw(st.binary(min_size=16, max_size=16))
    return c.LedgerHead(draw(hashes), name, entries, draw(hashes), newest)


@st.composite
def cohorts(draw: st.DrawFn) -> c.Cohort:
    committed = [c.CommittedSite(site, draw(hashes), draw(hashes)) for site in draw(sorted_names)]
    return c.Cohort(draw(rounds), draw(hashes), tuple(committed))


@st.composite
def cohort_deliveries(draw: st.DrawFn) -> c.CohortDelivery:
    cohort = draw(cohorts())
    commitments = tuple(draw(st.binary(min_size=1, max_size=50)) for _ in cohort.committed)
    return c.CohortDelivery(cohort, commitments, draw(envelopes))


inclusions = st.builds(c.Inclusion, rounds, hashes, hashes, sorted_names.map(tuple))


@st.composite
def openings(draw: st.DrawFn) -> c.Opening:
    share_sums = draw(proven_lists)
    publications = tuple(draw(st.binary(min_size=1, max_size=50)) for _ in share_sums)
    return c.Opening(draw(plans()), draw(inclusions), draw(envelopes), publications, share_sums)


certified = st.one_of(
    st.sampled_from([c.GetCohort(), c.GetInclusion(), c.FetchShares(), c.FetchOpening()]),
    st.builds(c.DepositShares, hashes, sealed_lists),
    st.builds(c.Commit, hashes, hashes, hashes, st.none() | ledger_heads()),
    cohort_deliveries(),
    st.builds(c.CoSignCohort, hashes),
    st.builds(c.InclusionDelivery, inclusions, envelopes),
    st.builds(c.CoSignInclusion, hashes),
    st.builds(c.SharesDelivery, proven_lists),
    st.builds(c.DepositShareSums, hashes, sealed_lists),
    st.builds(c.PublishShareSums, hashes, hashes),
    openings(),
)
"""Messages of rounds whose sites make keys of their own."""

snapshots = st.one_of(
    st.sampled_from([sn.RequestSnapshot(), sn.GetSnapshot()]),
    st.builds(
        lambda to, number, fixed, key, chunks: sn.OfferSnapshot(to, number, *fixed, key, *chunks),
        names,
        rounds,
        st.tuples(hashes, hashes, hashes),
        st.binary(min_size=80, max_size=80),
        chunk_lists(),
    ),
    st.builds(sn.GetOfferStatus, names),
    st.builds(sn.SnapshotDelivery, st.binary(max_size=100), st.integers(0, 65_536)),
    st.builds(sn.DownloadSnapshot, hashes, st.integers(0, 65_535)),
    st.builds(sn.SettleSnapshot, hashes, st.sampled_from(["", "FMRG-6261"])),
    st.builds(sn.GetClosure, st.booleans()),
    st.builds(sn.Closure, plans(), envelopes),
)
"""Messages of snapshots."""

messages = st.one_of(
    certified,
    snapshots,
    st.sampled_from(
        [m.GetSession(), m.Receipt(), m.GetStatus(), m.Heartbeat(), m.GetUploadStatus()]
    ),
    st.just(m.GetAggregate()),
    st.builds(m.SessionDelivery, st.binary(min_size=2, max_size=50)),
    st.builds(m.AcceptSession, weights),
    statuses(),
    st.builds(
        m.Pulse,
        st.sampled_from(SessionPhase),
        rounds,
        st.sampled_from(RoundPhase),
        st.binary(max_size=100),
    ),
    st.builds(m.Announce, hashes, hashes),
    st.builds(m.PublishKey, rounds, names, st.binary(min_size=1, max_size=50)),
    st.builds(m.FetchKey, rounds),
    st.builds(m.KeyDelivery, st.binary(max_size=50)),
    st.builds(
        m.UploadStatus,
        st.booleans(),
        st.booleans(),
        st.lists(st.integers(0, 1000), max_size=5).map(tuple),
    ),
    st.builds(lambda plan, chunks: m.UploadManifest(plan, *chunks), hashes, chunk_lists()),
    aggregates(),
    st.builds(m.Download, st.integers(0, 65_535)),
    st.builds(m.Acknowledge, hashes, hashes),
)


class Keys:
    """A tiny roster."""

    def __init__(self, *parties: str) -> None:
        self.keys = {party: SigningKey.generate(party) for party in parties}

    def verify(self, party: str, message: bytes, signature: bytes) -> None:
        verify_signature(self.keys[party].public_key, message, signature)
