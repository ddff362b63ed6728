"""A caller that begins calls and says nothing does not keep the others from being served."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from fedmrg_secure.coordinator.service import CoordinatorService
from fedmrg_secure.protocol.channel import SERVICE, open_channel
from fedmrg_secure.protocol.errors import TooManyCalls
from fedmrg_secure.protocol.server import CALLS_PER_PARTY, Server
from fedmrg_secure.protocol.status import error_of
from fedmrg_secure.provisioning.site_kit import load_kit
from tests.coordinator.drills import Federation, make_federation
from tests.coordinator.test_streams import revoke, tls_of

WORKERS = 8 + CALLS_PER_PARTY * 3
"""What `serve_session` gives a session of three sites."""
METHODS = [
    *(SERVICE + name for name in ("Upload", "UploadSnapshot", "Download", "DownloadSnapshot")),
    *(SERVICE + name for name in ("GetStatus", "DepositShares", "GetSession")),
    "/grpc.health.v1.Health/Check",
]


@contextmanager
def silent(federation: Federation, site: str, method: str, count: int) -> Iterator[list[grpc.Call]]:
    """Calls that have begun and bring no message; on the wire a unary one looks the same."""
    identity, over = federation.kits[site].identity, threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(60)
        yield from ()

    target = f"127.0.0.1:{federation.port}"
    with open_channel(target, identity.coordinator_name, tls_of(federation.kits[site])) as channel:
        start = channel.stream_unary(method, None, None)
        calls = [start.future(nothing()) for _ in range(count)]
        try:
            time.sleep(0.5)  # they are all on their way
            yield calls
        finally:
            over.set()
            for call in calls:
                call.cancel()


@pytest.mark.parametrize("method", METHODS)
def test_silent_calls_of_one_site_leave_the_others_served(tmp_path: Path, method: str) -> None:
    federation = make_federation(tmp_path)
    with federation.serving(farewell_s=0), federation.client("alpha", patience_s=5) as alpha:
        alpha.accept_session(1)
        with silent(federation, "gamma", method, WORKERS + 4) as calls:
            began = time.monotonic()
            alpha.get_status()
            assert time.monotonic() - began < 3
            refused = [call for call in calls if call.done()]
            assert len(refused) == len(calls) - CALLS_PER_PARTY
            for call in refused:
                error = error_of(call.details(), call.trailing_metadata())
                assert isinstance(error, TooManyCalls)


@pytest.mark.parametrize("method", METHODS)
def test_a_revoked_site_holds_nothing(tmp_path: Path, method: str) -> None:
    federation = make_federation(tmp_path)
    with (
        federation.serving(farewell_s=0) as coordinator,
        federation.client("alpha", patience_s=5) as alpha,
    ):
        alpha.accept_session(1)
        revoke(federation, coordinator.session, "gamma")
        with silent(federation, "gamma", method, WORKERS + 4) as calls:
            alpha.get_status()
            assert all(call.done() for call in calls)
            assert {call.code() for call in calls} == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize("method", [SERVICE + "Upload", SERVICE + "GetStatus"])
def test_a_first_message_that_does_not_come_is_not_waited_for(tmp_path: Path, method: str) -> None:
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
            first_message_s=1.0,
        )
        server.start()
        federation.port = server.port
        try:
            with (
                silent(federation, "gamma", method, CALLS_PER_PARTY) as calls,
                federation.client("gamma", patience_s=8) as gamma,
            ):
                assert not any(call.done() for call in calls)
                gamma.accept_session(1)  # refused at first: it has as many calls as it may have
                assert {call.code() for call in calls} == {grpc.StatusCode.CANCELLED}
        finally:
            server.stop(0)


def test_watching_the_health_service_is_not_offered(tmp_path: Path) -> None:
    """It would hold a worker for as long as somebody watches."""
    federation = make_federation(tmp_path)
    assert "Watch" in dir(health_pb2_grpc.HealthServicer)
    with (
        federation.serving(farewell_s=0),
        silent(federation, "gamma", "/grpc.health.v1.Health/Watch", 1) as (call,),
    ):
        assert call.code() is grpc.StatusCode.UNIMPLEMENTED
