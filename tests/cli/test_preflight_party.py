from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedmrg_secure.cli import preflight_party
from fedmrg_secure.cli.check import guarded
from fedmrg_secure.cli.main import run_command
from fedmrg_secure.cli.preflight_party import check_coordinator, check_kit
from fedmrg_secure.provisioning.local import provision_throwaway


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    provision_throwaway(tmp_path / "ours", "lungs-eu", ["st-anna", "charite"], "127.0.0.1")
    return tmp_path / "ours"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    provision_throwaway(tmp_path / "theirs", "lungs-eu", ["st-anna", "charite"], "127.0.0.1")
    return tmp_path / "theirs"


@pytest.fixture
def coordinator(ours: Path) -> Iterator[str]:
    """A TLS server with the coordinator's certificate; its address."""
    kit = ours / "coordinator" / "kit"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(kit / "authority.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(kit / "chain.pem", kit / "tls.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    with context.wrap_socket(connection, server_side=True):
                        pass
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_sound_kit_and_its_coordinator(ours: Path, coordinator: str) -> None:
    kit = ours / "sites" / "st-anna" / "kit"
    found = check_kit(kit)
    assert found.verdict == "ok"
    assert "st-anna of lungs-eu" in found.detail
    reached = check_coordinator(kit, coordinator)
    assert reached.verdict == "ok", reached.detail
    assert "coordinator.lungs-eu.internal" in reached.detail


def test_the_coordinator_of_another_federation_of_that_name_is_noticed(
    theirs: Path, coordinator: str
) -> None:
    reached = check_coordinator(theirs / "sites" / "st-anna" / "kit", coordinator)
    assert reached.verdict == "fail"
    assert "is not coordinator.lungs-eu.internal" in reached.mend


@pytest.mark.parametrize("target", ["nonsense", "127.0.0.1:", "127.0.0.1:1"])
def test_an_address_where_nobody_answers_fails(ours: Path, target: str) -> None:
    assert check_coordinator(ours / "sites" / "st-anna" / "kit", target).verdict == "fail"


def test_a_certificate_that_soon_ends_is_said_in_time(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=25)

    monkeypatch.setattr(preflight_party, "datetime", Later)
    found = check_kit(ours / "sites" / "st-anna" / "kit")
    assert found.verdict == "warn"
    assert "new grant" in found.mend


def test_an_exposed_key_fails(ours: Path) -> None:
    kit = ours / "sites" / "st-anna" / "kit"
    (kit / "tls.key").chmod(0o644)
    found = guarded("kit", lambda: check_kit(kit))
    assert (found.verdict, found.detail[:9]) == ("fail", "FMRG-6603")


def test_a_coordinator_needs_a_kit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--coordinator", "127.0.0.1:1"]) == 2
    assert "--kit" in capsys.readouterr().err
