"""What a coordinator must refuse, each with its code, over real mutual TLS."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import delete

from fedmrg_secure.coordinator.tables import UPLOAD
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.signing import SigningKey
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol.channel import MAX_MESSAGE_BYTES, SERVICE, TlsIdentity, open_channel
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.codec import MessageType
from fedmrg_secure.protocol.envelope import Envelope, seal_envelope
from fedmrg_secure.protocol.errors import (
    BadSignature,
    ChunkRefused,
    Conflict,
    CoordinatorUnreachable,
    InvalidMessage,
    NotAuthenticated,
    ProtocolError,
    RefusedForCause,
    StateMismatch,
    TooMuchData,
    UnsupportedVersion,
    WeightRefused,
    WrongPhase,
    WrongRound,
    WrongSession,
)
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.status import error_of
from fedmrg_secure.protocol.v1 import transport_pb2
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit
from tests.coordinator.drills import SITES, DrillSite, Federation, make_federation, wait_for


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A session in its first round, UPLOADING, with nothing uploaded yet."""
    made = make_federation(tmp_path_factory.mktemp("federation"))
    with made.serving(farewell_s=0) as coordinator:
        made.running = coordinator  # type: ignore[attr-defined]
        clients = {site: made.client(site, patience_s=2) for site in SITES}
        for client in clients.values():
            client.accept_session(1)
        base = bytes.fromhex(made.manifest.initial_state_hash)
        wait_for(clients["alpha"], RoundPhase.ANNOUNCING)
        for client in clients.values():
            client.announce(1, os.urandom(32), base)
        wait_for(clients["alpha"], RoundPhase.UPLOADING)
        made.clients = clients  # type: ignore[attr-defined]
        yield made
        for client in clients.values():
            client.close()


def plan_of(federation: Federation) -> bytes:
    status = federation.clients["alpha"].get_status()
    assert status.plan is not None
    return plan_hash(federation.manifest.session_id, status.plan)


def send(federation: Federation, site: str, envelope: bytes, method: str = "GetStatus") -> bytes:
    """Raw bytes in `site`'s TLS; the coordinator's refusal as its error."""
    identity = federation.kits[site].identity
    tls = TlsIdentity(identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem)
    target = f"127.0.0.1:{federation.port}"
    with open_channel(target, identity.coordinator_name, tls) as channel:
        try:
            return channel.unary_unary(SERVICE + method, None, None)(envelope, timeout=10)
        except grpc.RpcError as error:
            raise error_of(error.details(), error.trailing_metadata()) or error from None


def status_request(federation: Federation, site: str = "alpha", **changes: object) -> Envelope:
    sealed = seal_envelope(
        federation.kits[site].identity.signing_key,
        m.GetStatus(),
        session=federation.manifest.session_id,
        sequence=1,
    )
    return replace(sealed, **changes)


class TestIdentity:
    def test_a_certificate_of_another_federation(
        self, federation: Federation, tmp_path: Path
    ) -> None:
        provision_throwaway(tmp_path, "elsewhere", SITES, "127.0.0.1")
        foreign = load_kit(tmp_path / "sites" / "alpha" / "kit")
        own = federation.kits["alpha"].identity
        tls = TlsIdentity(
            foreign.identity.tls_chain_pem, foreign.identity.tls_key_pem.reveal(), own.authority_pem
        )
        with (
            open_channel(f"127.0.0.1:{federation.port}", own.coordinator_name, tls) as channel,
            pytest.raises(grpc.RpcError),
        ):
            channel.unary_unary(SERVICE + "GetStatus", None, None)(
                status_request(federation).to_bytes(), timeout=5
            )

    def test_a_coordinator_of_another_federation_is_refused_by_the_site(
        self, federation: Federation, tmp_path: Path
    ) -> None:
        provision_throwaway(tmp_path, "elsewhere", SITES, "127.0.0.1")
        foreign = load_kit(tmp_path / "sites" / "alpha" / "kit")
        with (
            federation.client("alpha", kit=foreign, patience_s=5) as client,
            pytest.raises(NotAuthenticated, match="TLS"),
        ):
            client.get_status()

    def test_no_client_certificate(self, federation: Federation) -> None:
        identity = federation.kits["alpha"].identity
        credentials = grpc.ssl_channel_credentials(identity.authority_pem)
        options = [("grpc.ssl_target_name_override", identity.coordinator_name)]
        with (
            grpc.secure_channel(f"127.0.0.1:{federation.port}", credentials, options) as channel,
            pytest.raises(grpc.RpcError),
        ):
            channel.unary_unary(SERVICE + "GetStatus", None, None)(b"", timeout=5)

    def test_the_plain_port_speaks_no_plain_grpc(self, federation: Federation) -> None:
        with (
            grpc.insecure_channel(f"127.0.0.1:{federation.port}") as channel,
            pytest.raises(grpc.RpcError),
        ):
            channel.unary_unary(SERVICE + "GetStatus", None, None)(b"", timeout=5)

    def test_an_envelope_signed_by_another_site(self, federation: Federation) -> None:
        with pytest.raises(BadSignature, match="from beta, not from alpha"):
            send(federation, "alpha", status_request(federation, "beta").to_bytes())

    def test_a_signature_by_another_key(self, federation: Federation) -> None:
        with (
            federation.client("alpha", signer=SigningKey.generate("alpha")) as client,
            pytest.raises(BadSignature),
        ):
            client.get_status()

    def test_a_party_that_is_not_in_the_session(self, federation: Federation) -> None:
        kit = load_kit(federation.coordinator / "kit")
        tls = TlsIdentity(
            kit.identity.tls_chain_pem,
            kit.identity.tls_key_pem.reveal(),
            kit.identity.authority_pem,
        )
        with (
            open_channel(
                f"127.0.0.1:{federation.port}", kit.identity.coordinator_name, tls
            ) as channel,
            pytest.raises(grpc.RpcError),
        ):
            channel.unary_unary(SERVICE + "GetStatus", None, None)(b"", timeout=5)

    def test_a_certificate_that_expires_while_its_channel_is_open(
        self, federation: Federation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = federation.clients["beta"]
        client.get_status()
        later = datetime.now(UTC) + timedelta(days=365)
        monkeypatch.setattr("fedmrg_secure.crypto.roster.utc_now", lambda: later)
        with pytest.raises(NotAuthenticated, match="certificate"):
            client.get_status()


class TestEnvelope:
    def test_another_type_in_signed_bytes(self, federation: Federation) -> None:
        changed = status_request(federation, type=MessageType.HEARTBEAT)
        with pytest.raises(BadSignature):
            send(federation, "alpha", changed.to_bytes(), "Heartbeat")

    def test_a_type_that_is_not_the_methods(self, federation: Federation) -> None:
        with pytest.raises(InvalidMessage, match="GET_STATUS came where Heartbeat was due"):
            send(federation, "alpha", status_request(federation).to_bytes(), "Heartbeat")

    def test_another_round_in_signed_bytes(self, federation: Federation) -> None:
        with pytest.raises(BadSignature):
            send(federation, "alpha", status_request(federation, round=2).to_bytes())

    def test_another_session(self, federation: Federation) -> None:
        with (
            federation.client("alpha", session_id=bytes(32)) as client,
            pytest.raises(WrongSession),
        ):
            client.get_status()

    def test_another_version(self, federation: Federation) -> None:
        proto = transport_pb2.Envelope.FromString(status_request(federation).to_bytes())
        proto.version = 2
        with pytest.raises(UnsupportedVersion):
            send(federation, "alpha", proto.SerializeToString(deterministic=True))

    @pytest.mark.parametrize(
        "data",
        [b"", b"\xff" * 40, b"\x80\x04\x95pickle", b"PK\x03\x04", b"/etc/passwd", os.urandom(200)],
        ids=["empty", "ones", "pickle", "zip", "path", "random"],
    )
    def test_bytes_that_are_no_envelope(self, federation: Federation, data: bytes) -> None:
        with pytest.raises(ProtocolError):
            send(federation, "alpha", data)

    def test_unknown_field_in_the_envelope(self, federation: Federation) -> None:
        extra = b"\xa2\x06\x03abc"  # field 100
        with pytest.raises(InvalidMessage, match="canonical"):
            send(federation, "alpha", status_request(federation).to_bytes() + extra)

    def test_a_message_above_the_size_limit(self, federation: Federation) -> None:
        identity = federation.kits["alpha"].identity
        tls = TlsIdentity(
            identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
        )
        with (
            open_channel(f"127.0.0.1:{federation.port}", identity.coordinator_name, tls) as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            channel.unary_unary(SERVICE + "GetStatus", None, None)(
                bytes(MAX_MESSAGE_BYTES + 1), timeout=10
            )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


class TestRound:
    def test_weight_above_the_cap(self, federation: Federation) -> None:
        with pytest.raises(WeightRefused, match="at most 10"):
            federation.clients["alpha"].accept_session(11)

    def test_a_second_acceptance_with_another_weight(self, federation: Federation) -> None:
        federation.clients["alpha"].accept_session(1)
        with pytest.raises(Conflict):
            federation.clients["alpha"].accept_session(2)

    def test_announcing_another_model(self, federation: Federation) -> None:
        with pytest.raises(StateMismatch):
            federation.clients["alpha"].announce(1, bytes(32), bytes(32))

    def test_announcing_after_the_plan(self, federation: Federation) -> None:
        base = bytes.fromhex(federation.manifest.initial_state_hash)
        with pytest.raises(WrongPhase):
            federation.clients["alpha"].announce(1, bytes(32), base)

    @pytest.mark.parametrize("number", [0, 2, 4_000_000_000])
    def test_a_round_that_is_not_open(self, federation: Federation, number: int) -> None:
        base = bytes.fromhex(federation.manifest.initial_state_hash)
        with pytest.raises(WrongRound):
            federation.clients["alpha"].announce(number, bytes(32), base)

    def test_acknowledging_before_there_is_a_sum(self, federation: Federation) -> None:
        with pytest.raises(WrongPhase):
            federation.clients["alpha"].acknowledge(1, plan_of(federation), bytes(32))

    def test_a_sum_that_does_not_exist(self, federation: Federation) -> None:
        assert federation.clients["alpha"].get_aggregate(1) is None

    def test_a_key_in_a_session_without_keys(self, federation: Federation) -> None:
        with pytest.raises(WrongPhase):
            federation.clients["alpha"].publish_key(1, 1, {"alpha": b"sealed"})
        assert federation.clients["alpha"].fetch_key(1, "alpha") is None


class TestUpload:
    def frames(self, federation: Federation, site: str = "alpha") -> list[bytes]:
        return DrillSite(federation, site, 1).frames(1)

    def manifest(
        self, federation: Federation, frames: list[bytes], **changes: object
    ) -> m.UploadManifest:
        return replace(manifest_of(plan_of(federation), frames), **changes)

    def test_before_the_right_plan(self, federation: Federation) -> None:
        frames = self.frames(federation)
        manifest = self.manifest(federation, frames, plan_hash=bytes(32))
        with pytest.raises(Conflict, match="another plan"):
            federation.clients["alpha"].upload(1, manifest, frames.__getitem__)

    def test_too_many_chunks(self, federation: Federation) -> None:
        frames = self.frames(federation)
        manifest = self.manifest(federation, [*frames, frames[0]])
        with pytest.raises(ChunkRefused, match="has 3 chunks, not 4"):
            federation.clients["alpha"].upload(1, manifest, [*frames, frames[0]].__getitem__)

    def test_a_wrong_total(self, federation: Federation) -> None:
        frames = self.frames(federation)
        manifest = self.manifest(federation, frames, total_bytes=1 << 40)
        with pytest.raises(ChunkRefused, match="bytes, not 1099511627776"):
            federation.clients["alpha"].upload(1, manifest, frames.__getitem__)

    def test_a_frame_that_is_not_the_listed_one(self, federation: Federation) -> None:
        frames = self.frames(federation)
        manifest = self.manifest(federation, frames)
        with pytest.raises(ChunkRefused, match="chunk 0 is not the one"):
            federation.clients["alpha"].upload(1, manifest, lambda index: frames[index] + b"x")
        other = DrillSite(federation, "alpha", 2).frames(1)
        with pytest.raises(Conflict, match="begun another upload"):
            federation.clients["alpha"].upload(
                1, self.manifest(federation, other), other.__getitem__
            )

    def upload_bad(self, federation: Federation, site: str, first: bytes) -> RefusedForCause:
        """Upload with a bad first frame that is honestly listed."""
        frames = self.frames(federation, site)
        total = sum(map(len, frames))
        hashes = (leaf_hash(first), *map(leaf_hash, frames[1:]))
        manifest = m.UploadManifest(plan_of(federation), hashes, merkle_root(hashes), total)
        with pytest.raises(RefusedForCause) as caught:
            federation.clients[site].upload(1, manifest, [first, *frames[1:]].__getitem__)
        forget_manifest(federation, site)
        return caught.value

    def test_a_frame_one_byte_short(self, federation: Federation) -> None:
        short = self.frames(federation, "beta")[0][:-1]
        assert self.upload_bad(federation, "beta", short).remote_code == "FMRG-4201"

    def test_a_frame_one_byte_long(self, federation: Federation) -> None:
        long = self.frames(federation, "beta")[0] + b"\0"
        assert self.upload_bad(federation, "beta", long).remote_code == "FMRG-4201"

    def test_a_residue_equal_to_the_modulus(self, federation: Federation) -> None:
        frame = bytearray(self.frames(federation, "beta")[0])
        parameters = federation.parameters
        width = parameters.residue_bits // 8
        frame[-width:] = parameters.modulus.to_bytes(width, "little")
        assert self.upload_bad(federation, "beta", bytes(frame)).remote_code == "FMRG-4204"

    def test_another_sites_frame(self, federation: Federation) -> None:
        foreign = self.frames(federation, "gamma")[0]
        assert self.upload_bad(federation, "beta", foreign).remote_code == "FMRG-4203"

    def test_bytes_that_are_no_frame(self, federation: Federation) -> None:
        assert self.upload_bad(federation, "beta", b"\x80\x04pickle").remote_code == "FMRG-4202"

    def test_nothing_bad_was_stored(self, federation: Federation) -> None:
        assert federation.clients["beta"].upload_status(1).stored == ()


def test_a_stream_that_repeats_itself_beyond_measure(federation: Federation) -> None:
    frames = DrillSite(federation, "gamma", 1).frames(1)
    identity = federation.kits["gamma"].identity
    tls = TlsIdentity(identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem)
    envelope = seal_envelope(
        identity.signing_key,
        manifest_of(plan_of(federation), frames),
        session=federation.manifest.session_id,
        round_number=1,
        sequence=1,
    )
    signed = transport_pb2.Envelope.FromString(envelope.to_bytes())

    def parts() -> Iterator[transport_pb2.UploadPart]:
        yield transport_pb2.UploadPart(manifest=signed)
        for _ in range(40):
            yield transport_pb2.UploadPart(chunk=transport_pb2.Chunk(index=0, frame=frames[0]))

    target = f"127.0.0.1:{federation.port}"
    serialise = transport_pb2.UploadPart.SerializeToString
    with (
        open_channel(target, identity.coordinator_name, tls) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.stream_unary(SERVICE + "Upload", serialise, None)(parts(), timeout=10)
    error = error_of(caught.value.details(), caught.value.trailing_metadata())
    assert isinstance(error, TooMuchData)


def test_no_coordinator_there(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    federation.port = 1
    with (
        federation.client("alpha", patience_s=0.3) as client,
        pytest.raises(CoordinatorUnreachable, match=r"no answer from the coordinator for 0\.3 s"),
    ):
        client.get_status()


def test_the_health_service_answers_over_mutual_tls(federation: Federation) -> None:
    identity = federation.kits["alpha"].identity
    tls = TlsIdentity(identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem)
    target = f"127.0.0.1:{federation.port}"
    with open_channel(target, identity.coordinator_name, tls) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="fedmrg.v1.Federation"), timeout=5
        )
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def forget_manifest(federation: Federation, site: str) -> None:
    """Let the next case begin afresh: a manifest once signed can otherwise not be exchanged."""
    with federation.running.session.store._engine.begin() as tx:
        tx.execute(delete(UPLOAD).where(UPLOAD.c.site == site))
