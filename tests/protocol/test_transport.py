"""A site against a coordinator that lies, breaks off or falls silent, over real mutual TLS."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.envelope import seal_envelope
from fedmrg_secure.protocol.errors import (
    CallCancelled,
    CoordinatorFull,
    NotPermitted,
    ReplyRefused,
    TooMuchData,
    WrongSession,
)
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.server import Server
from fedmrg_secure.protocol.service import Call
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.provisioning.site_kit import load_kit
from tests.coordinator.drills import SITES, Federation, make_federation, make_manifest

FRAMES = [bytes([i]) * 1000 for i in range(5)]
LEAVES = tuple(map(leaf_hash, FRAMES))
INFO = m.AggregateInfo(
    1,
    bytes(32),
    (m.IncludedSite("alpha", 1, bytes(32)),),
    LEAVES,
    merkle_root(LEAVES),
    5000,
    0,
    "",
    b"",
)


class Coordinator:
    """Answers what the test tells it to."""

    def __init__(self, session_id: bytes) -> None:
        self.session_id = session_id
        self.reply: Callable[[Call, m.Message], m.Message] = lambda call, message: m.Receipt()
        self.frames_from: Callable[[int], Iterator[tuple[int, bytes]]] = lambda first: (
            (index, FRAMES[index]) for index in range(first, len(FRAMES))
        )
        self.stored: dict[int, bytes] = {}
        self.before_store: Callable[[int], None] = lambda index: None
        self.downloads: list[int] = []

    def authenticate(self, certificate_pem: bytes) -> str:
        return "alpha"

    def answer(self, call: Call, message: m.Message) -> m.Message:
        if isinstance(message, m.GetUploadStatus):
            return m.UploadStatus(bool(self.stored), False, tuple(sorted(self.stored)))
        return self.reply(call, message)

    def begin_upload(self, call: Call, manifest: m.UploadManifest) -> "Coordinator":
        return self

    begin_offer = begin_upload

    def snapshot_chunks(self, call: Call, request: object) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def store(self, index: int, frame: bytes) -> None:
        self.before_store(index)
        self.stored[index] = frame

    def finish(self) -> None:
        assert len(self.stored) == len(FRAMES)

    def frames(self, call: Call, request: m.Download) -> Iterator[tuple[int, bytes]]:
        self.downloads.append(request.first_chunk)
        return self.frames_from(request.first_chunk)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return make_federation(tmp_path_factory.mktemp("federation"))


@contextmanager
def talking(
    federation: Federation, signer: SigningKey | None = None, **options: float
) -> Iterator[tuple[Coordinator, CoordinatorClient]]:
    kit = load_kit(federation.coordinator / "kit")
    identity = kit.identity
    coordinator = Coordinator(federation.manifest.session_id)
    server = Server(
        coordinator,
        signer=signer or identity.signing_key,
        verifier=kit.roster,
        tls=TlsIdentity(
            identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
        ),
        host="127.0.0.1",
        port=0,
    )
    server.start()
    federation.port = server.port
    try:
        with federation.client("alpha", **{"patience_s": 1.0, **options}) as client:
            yield coordinator, client
    finally:
        server.stop(0)


def test_a_reply_that_another_key_signed(federation: Federation) -> None:
    with (
        talking(federation, SigningKey.generate("coordinator")) as (_, client),
        pytest.raises(ReplyRefused, match="does not verify"),
    ):
        client.heartbeat()


def test_a_reply_that_a_site_signed(federation: Federation) -> None:
    with (
        talking(federation, federation.kits["beta"].identity.signing_key) as (_, client),
        pytest.raises(ReplyRefused, match="from beta, not from coordinator"),
    ):
        client.heartbeat()


def test_a_reply_of_another_type(federation: Federation) -> None:
    with (
        talking(federation) as (_, client),
        pytest.raises(ReplyRefused, match="RECEIPT came where Pulse was due"),
    ):
        client.heartbeat()


def test_another_session_than_the_pinned_one(federation: Federation) -> None:
    other = make_manifest("ab" * 32, SITES)
    with talking(federation) as (coordinator, client):
        coordinator.reply = lambda call, message: m.SessionDelivery(other.to_bytes())
        with pytest.raises(WrongSession):
            client.get_session()
        coordinator.reply = lambda call, message: m.SessionDelivery(b"{}")
        with pytest.raises(ReplyRefused, match="manifest is invalid"):
            client.get_session()


def test_an_unpinned_session_is_learnt_first(federation: Federation) -> None:
    manifest = federation.manifest
    with talking(federation, session_id=None) as (coordinator, client):
        coordinator.reply = lambda call, message: m.SessionDelivery(manifest.to_bytes())
        with pytest.raises(WrongSession):
            client.heartbeat()
        assert client.get_session() == manifest
        coordinator.reply = lambda call, message: m.Pulse(
            SessionPhase.JOINING, 0, RoundPhase.NONE, b""
        )
        assert client.heartbeat().session_phase is SessionPhase.JOINING


@pytest.mark.parametrize("fault", ["maker", "epoch", "recipient", "session", "torn"])
def test_a_key_that_its_maker_did_not_seal_to_this_site(federation: Federation, fault: str) -> None:
    maker = federation.kits["gamma" if fault == "maker" else "beta"].identity.signing_key
    message = m.PublishKey(
        2 if fault == "epoch" else 1, "gamma" if fault == "recipient" else "alpha", b"sealed"
    )
    session = bytes(32) if fault == "session" else federation.manifest.session_id
    data = seal_envelope(maker, message, session=session, round_number=1, sequence=1).to_bytes()
    data = data[:-1] if fault == "torn" else data
    with talking(federation) as (coordinator, client):
        coordinator.reply = lambda call, message: m.KeyDelivery(data)
        with pytest.raises(ReplyRefused):
            client.fetch_key(1, "beta")


def test_a_key_of_its_maker(federation: Federation) -> None:
    maker = federation.kits["beta"].identity.signing_key
    message = m.PublishKey(1, "alpha", b"sealed")
    data = seal_envelope(maker, message, session=federation.manifest.session_id, sequence=1)
    with talking(federation) as (coordinator, client):
        coordinator.reply = lambda call, message: m.KeyDelivery(data.to_bytes())
        assert client.fetch_key(1, "beta") == b"sealed"
        coordinator.reply = lambda call, message: m.KeyDelivery(b"")
        assert client.fetch_key(1, "beta") is None


def test_a_download_that_breaks_goes_on_where_it_broke(federation: Federation) -> None:
    with talking(federation) as (coordinator, client):
        whole = coordinator.frames_from

        def breaking(first: int) -> Iterator[tuple[int, bytes]]:
            yield first, FRAMES[first]
            if len(coordinator.downloads) < 3:
                raise CoordinatorFull("for a moment")
            yield from list(whole(first))[1:]

        coordinator.frames_from = breaking
        moved: list[int] = []
        assert list(client.download(INFO, on_progress=moved.append)) == FRAMES
        assert coordinator.downloads == [0, 1, 2]
        assert sum(moved) == INFO.total_bytes
        assert list(client.download(INFO, first_chunk=3)) == FRAMES[3:]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda first: iter([(0, FRAMES[0]), (1, FRAMES[2])]), "chunk 1 is not the one"),
        (lambda first: iter([(1, FRAMES[0])]), "chunk 0 is not the one"),
        (lambda first: iter([(0, FRAMES[0][:-1])]), "chunk 0 is not the one"),
        (lambda first: iter([(0, FRAMES[0])]), "ended before chunk 1"),
        (lambda first: iter([]), "ended before chunk 0"),
    ],
    ids=["another frame", "another index", "a byte short", "too few", "none"],
)
def test_a_download_that_is_not_the_signed_sum(
    federation: Federation, lie: Callable[[int], Iterator[tuple[int, bytes]]], said: str
) -> None:
    with talking(federation) as (coordinator, client):
        coordinator.frames_from = lie
        with pytest.raises(ReplyRefused, match=said):
            list(client.download(INFO))


def test_an_upload_that_breaks_sends_only_the_rest(federation: Federation) -> None:
    with talking(federation) as (coordinator, client):
        failures = iter([CoordinatorFull("full")])

        def fail_once(index: int) -> None:
            if index == 3:
                for error in failures:
                    raise error

        coordinator.before_store = fail_once
        read: list[int] = []

        def read_frame(index: int) -> bytes:
            read.append(index)
            return FRAMES[index]

        client.upload(1, manifest_of(bytes(32), FRAMES), read_frame)
        assert [coordinator.stored[index] for index in range(5)] == FRAMES
        assert read.count(0) == read.count(1) == read.count(2) == 1


def test_a_refused_upload_is_not_repeated(federation: Federation) -> None:
    with talking(federation) as (coordinator, client):
        tries: list[int] = []

        def refuse(index: int) -> None:
            tries.append(index)
            raise TooMuchData("enough")

        coordinator.before_store = refuse
        with pytest.raises(TooMuchData, match="enough"):
            client.upload(1, manifest_of(bytes(32), FRAMES), FRAMES.__getitem__)
        assert tries == [0]


def test_a_frame_that_cannot_be_read_is_the_callers_error(federation: Federation) -> None:
    with talking(federation) as (_, client), pytest.raises(FileNotFoundError):
        client.upload(1, manifest_of(bytes(32), FRAMES), lambda index: Path("/gone").read_bytes())


def test_patience_ends_with_the_last_reason(federation: Federation) -> None:
    def full(call: Call, message: m.Message) -> m.Message:
        raise CoordinatorFull("no room")

    with talking(federation, patience_s=0.3) as (coordinator, client):
        coordinator.reply = full
        with pytest.raises(CoordinatorFull, match="no room"):
            client.heartbeat()


def test_a_fault_of_the_coordinators_own_tells_nothing(
    federation: Federation, capfd: pytest.CaptureFixture[str]
) -> None:
    def crash(call: Call, message: m.Message) -> m.Message:
        raise RuntimeError("secret of the coordinator")

    with talking(federation) as (coordinator, client):
        coordinator.reply = crash
        with pytest.raises(Exception, match="an error of its own") as caught:
            client.heartbeat()
    assert caught.value.code == "FMRG-5016"  # type: ignore[attr-defined]
    told = capfd.readouterr()
    assert "secret of the coordinator" in told.out + told.err, "the operator is told"


def test_a_refusal_is_not_repeated(federation: Federation) -> None:
    calls: list[Call] = []

    def refuse(call: Call, message: m.Message) -> m.Message:
        calls.append(call)
        raise NotPermitted("not yours")

    with talking(federation) as (coordinator, client):
        coordinator.reply = refuse
        with pytest.raises(NotPermitted):
            client.heartbeat()
    assert len(calls) == 1


def test_closing_ends_a_waiting_call(federation: Federation) -> None:
    with talking(federation, patience_s=60.0) as (_, client):
        pass
    federation.port = 1
    client = federation.client("alpha", patience_s=60.0)
    threading.Timer(0.3, client.close).start()
    before = time.monotonic()
    with pytest.raises(CallCancelled):
        client.heartbeat()
    assert time.monotonic() - before < 5


def test_bytes_are_counted_both_ways(federation: Federation, tmp_path: Path) -> None:
    with talking(federation) as (_, client):
        client.upload(1, manifest_of(bytes(32), FRAMES), FRAMES.__getitem__)
        assert 5000 < client.bytes_sent < 7000
        before = client.bytes_received
        list(client.download(INFO))
        assert client.bytes_received - before == 5000
