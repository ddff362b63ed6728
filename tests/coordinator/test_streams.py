"""What ends while it is under way: a revoked site's streams, a stream that stands still."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import psutil
import pytest

from fedmrg_secure.coordinator.service import CoordinatorService
from fedmrg_secure.coordinator.session import Session
from fedmrg_secure.protocol.channel import SERVICE, Channels, TlsIdentity, open_channel
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.errors import (
    Conflict,
    NotAuthenticated,
)
from fedmrg_secure.protocol.hashes import plan_hash
from fedmrg_secure.protocol.phases import RoundPhase
from fedmrg_secure.protocol.server import Server
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.protocol.v1 import transport_pb2
from fedmrg_secure.provisioning.site_kit import Kit, load_kit
from tests.coordinator.drills import SITES, DrillSite, Federation, make_federation, wait_for


def test_a_revocation_acts_on_an_open_channel(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    with federation.serving(farewell_s=0) as coordinator, federation.client("beta") as client:
        client.accept_session(1)
        revoke(federation, coordinator.session, "beta")
        with pytest.raises(NotAuthenticated, match="revoked"):
            client.get_status()
        assert coordinator.session.live() == frozenset()


def test_a_revocation_ends_a_stream_under_way(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    with federation.serving(farewell_s=0) as coordinator, ExitStack() as stack:
        clients, digest = uploading(federation, stack)
        frames = DrillSite(federation, "beta", 1).frames(1)

        def revoke_after_the_first(index: int) -> bytes:
            if index == 1:
                while not coordinator.session.store.chunks(1, "beta"):
                    time.sleep(0.01)  # so that the stream is well under way
                revoke(federation, coordinator.session, "beta")
            return frames[index]

        with pytest.raises(NotAuthenticated, match="revoked"):
            clients["beta"].upload(1, manifest_of(digest, frames), revoke_after_the_first)


def test_what_is_sent_in_bulk_leaves_no_connection_behind(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    with federation.serving(farewell_s=0), ExitStack() as stack:
        clients, digest = uploading(federation, stack)
        frames, seen = DrillSite(federation, "beta", 1).frames(1), []

        def read_frame(index: int) -> bytes:
            seen.append(connections_to(federation.port))
            return frames[index]

        clients["beta"].upload(1, manifest_of(digest, frames), read_frame)
        assert max(seen) == len(clients) + 1
        deadline = time.monotonic() + 20
        while connections_to(federation.port) > len(clients):
            assert time.monotonic() < deadline, "the upload's connection is still open"
            time.sleep(0.02)


def test_a_long_message_goes_through_a_channel_of_its_own(tmp_path: Path) -> None:
    own = make_federation(tmp_path).kits["beta"]
    channels = Channels("127.0.0.1:1", own.identity.coordinator_name, tls_of(own))
    with channels.for_message(1000) as short, channels.for_message(1_000_000) as long:
        assert short is channels.shared
        assert long is not channels.shared
    channels.close()
    with pytest.raises(ValueError, match="closed channel"):
        short.unary_unary("/any", None, None)(b"")


def connections_to(port: int) -> int:
    """How many of this process' connections lead to a port."""
    found = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port for one in found)


def uploading(
    federation: Federation, stack: ExitStack
) -> tuple[dict[str, CoordinatorClient], bytes]:
    """A client of each site with round 1 in UPLOADING, and the hash of its plan."""
    clients = {site: stack.enter_context(federation.client(site)) for site in SITES}
    for client in clients.values():
        client.accept_session(1)
    wait_for(clients["alpha"], RoundPhase.ANNOUNCING)
    base = bytes.fromhex(federation.manifest.initial_state_hash)
    for client in clients.values():
        client.announce(1, os.urandom(32), base)
    status = wait_for(clients["alpha"], RoundPhase.UPLOADING)
    assert status.plan is not None
    return clients, plan_hash(federation.manifest.session_id, status.plan)


def revoke(federation: Federation, session: Session, site: str) -> None:
    roster = federation.kits[site].roster
    entries = tuple(replace(entry, revoked=entry.party == site) for entry in roster.entries)
    session.adopt_roster(replace(roster, epoch=roster.epoch + 1, entries=entries))


def test_a_stream_that_stands_still_is_ended(tmp_path: Path) -> None:
    federation = make_federation(tmp_path)
    kit = load_kit(federation.coordinator / "kit")
    with federation.serving(farewell_s=0) as coordinator:
        server = Server(
            CoordinatorService(coordinator.session),
            signer=kit.identity.signing_key,
            verifier=kit.roster,
            tls=tls_of(kit),
            host="127.0.0.1",
            port=0,
            idle_stream_s=0.4,
        )
        server.start()
        release = threading.Event()

        def stalled() -> Iterator[transport_pb2.UploadPart]:
            release.wait(10)
            yield transport_pb2.UploadPart()

        try:
            own = federation.kits["alpha"]
            target = f"127.0.0.1:{server.port}"
            serialise = transport_pb2.UploadPart.SerializeToString
            with (
                open_channel(target, own.identity.coordinator_name, tls_of(own)) as channel,
                pytest.raises(grpc.RpcError) as caught,
            ):
                channel.stream_unary(SERVICE + "Upload", serialise, None)(stalled(), timeout=8)
            assert caught.value.code() is grpc.StatusCode.CANCELLED
        finally:
            release.set()
            server.stop(0)


def tls_of(kit: Kit) -> TlsIdentity:
    identity = kit.identity
    return TlsIdentity(
        identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
    )


def test_a_second_upload_with_another_root(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, sites=SITES[:2])
    with federation.serving(farewell_s=0):
        clients = {site: federation.client(site) for site in SITES[:2]}
        base = bytes.fromhex(federation.manifest.initial_state_hash)
        for client in clients.values():
            client.accept_session(1)
        wait_for(clients["alpha"], RoundPhase.ANNOUNCING)
        for client in clients.values():
            client.announce(1, os.urandom(32), base)
        status = wait_for(clients["alpha"], RoundPhase.UPLOADING)
        digest = plan_hash(federation.manifest.session_id, status.plan)
        first = DrillSite(federation, "alpha", 1).frames(1)
        second = DrillSite(federation, "alpha", 2).frames(1)
        clients["alpha"].upload(1, manifest_of(digest, first), first.__getitem__)
        clients["alpha"].upload(1, manifest_of(digest, first), first.__getitem__)  # harmless
        with pytest.raises(Conflict):
            clients["alpha"].upload(1, manifest_of(digest, second), second.__getitem__)
        for client in clients.values():
            client.close()
