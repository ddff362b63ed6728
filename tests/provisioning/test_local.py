"""Throw-away identities hold in gRPC's own TLS, and are made in no time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from fedmrg_secure.core.types import InvalidName
from fedmrg_secure.crypto.roster import RosterInvalid
from fedmrg_secure.provisioning.certificate_forms import EnrolmentRefused
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import Kit, load_kit


def provision(folder: Path) -> dict[str, Kit]:
    provision_throwaway(folder, "lungs", ["spain"], "127.0.0.1")
    return {
        "coordinator": load_kit(folder / "coordinator" / "kit"),
        "spain": load_kit(folder / "sites" / "spain" / "kit"),
    }


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kit]:
    return provision(tmp_path_factory.mktemp("lungs"))


class WhoAmI(grpc.GenericRpcHandler):
    """Answers every call with the party that the caller's certificate names."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            pem = context.auth_context()["x509_pem_cert"][0]
            return self.kit.roster.identify_certificate(pem).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


def serve(kit: Kit) -> tuple[grpc.Server, int]:
    identity = kit.identity
    credentials = grpc.ssl_server_credentials(
        [(identity.tls_key_pem.reveal(), identity.tls_chain_pem)],
        root_certificates=identity.authority_pem,
        require_client_auth=True,
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((WhoAmI(kit),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port


@pytest.fixture(scope="module")
def port(kits: dict[str, Kit]) -> Iterator[int]:
    server, port = serve(kits["coordinator"])
    yield port
    server.stop(0).wait()


def call(port: int, kit: Kit, *, authority: Kit | None = None) -> str:
    identity = kit.identity
    credentials = grpc.ssl_channel_credentials(
        (authority or kit).identity.authority_pem,
        identity.tls_key_pem.reveal(),
        identity.tls_chain_pem,
    )
    options = [("grpc.ssl_target_name_override", identity.coordinator_name)]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        answer: bytes = channel.unary_unary("/test/WhoAmI")(b"", timeout=5)
        return answer.decode()


def test_a_site_is_identified_by_its_certificate(kits: dict[str, Kit], port: int) -> None:
    assert call(port, kits["spain"]) == "spain"


def test_a_site_of_another_federation_gets_no_connection(
    kits: dict[str, Kit], port: int, tmp_path: Path
) -> None:
    foreign = provision(tmp_path)["spain"]
    with pytest.raises(grpc.RpcError):
        call(port, foreign, authority=kits["spain"])


def test_a_site_does_not_pass_for_the_coordinator(kits: dict[str, Kit]) -> None:
    server, port = serve(kits["spain"])
    try:
        with pytest.raises(grpc.RpcError):
            call(port, kits["spain"])
    finally:
        server.stop(0).wait()


def test_the_coordinator_does_not_pass_for_a_site(kits: dict[str, Kit], port: int) -> None:
    with pytest.raises(grpc.RpcError):
        call(port, kits["coordinator"])


def test_five_sites_in_less_than_a_second(tmp_path: Path) -> None:
    before = time.perf_counter()
    provision_throwaway(tmp_path, "lungs", [f"site-{n}" for n in range(5)], "localhost")
    assert time.perf_counter() - before < 1


def test_impossible_federations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RosterInvalid):
        provision_throwaway(tmp_path / "a", "lungs", [], "localhost")
    with pytest.raises(EnrolmentRefused):
        provision_throwaway(tmp_path / "b", "lungs", ["spain", "spain"], "localhost")
    with pytest.raises(InvalidName):
        provision_throwaway(tmp_path / "c", "lungs", ["St. Anna"], "localhost")
    assert not any(tmp_path.rglob("*.key"))
