"""What `fedmrg doctor --kit` looks at: one party's certificates, and the way to its coordinator."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fedmrg_secure.cli.check import Check

_WARN_DAYS: Final = 7
_PATIENCE_S: Final = 10.0


def check_kit(folder: Path) -> Check:
    """Keys, certificates and roster of a kit fit together, now and for a while."""
    from fedmrg_secure.crypto.certificates import load_certificate
    from fedmrg_secure.provisioning.site_kit import load_kit

    kit = load_kit(folder)
    ends = load_certificate(kit.identity.tls_chain_pem).not_valid_after_utc
    days = (ends - datetime.now(UTC)).days
    detail = (
        f"{kit.identity.name} of {kit.identity.federation}, certificate for {days} more days, "
        f"roster epoch {kit.roster.epoch} with {len(kit.roster.sites)} sites"
    )
    if days < _WARN_DAYS:
        mend = "send the same request to the authority again and install the new grant"
        return Check("kit", "warn", detail, mend)
    return Check("kit", "ok", detail)


def check_coordinator(folder: Path, target: str) -> Check:
    """The coordinator answers at HOST:PORT and proves to be this federation's coordinator."""
    from fedmrg_secure.crypto.certificates import coordinator_dns_name
    from fedmrg_secure.provisioning.site_kit import CHAIN_FILE, TLS_KEY_FILE, load_kit

    identity = load_kit(folder).identity
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        return Check("coordinator", "fail", f"{target!r} is not HOST:PORT")
    context = ssl.create_default_context(cadata=identity.authority_pem.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(folder / CHAIN_FILE, folder / TLS_KEY_FILE)
    name = coordinator_dns_name(identity.federation)
    start = time.perf_counter()
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            version = secured.version()
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        mend = f"whoever listens there is not {name}, or does not accept this kit"
        return Check("coordinator", "fail", f"{target}: {reason}", mend)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "check the address, the firewall and whether the coordinator is running"
        return Check("coordinator", "fail", f"{target}: {reason}", mend)
    milliseconds = 1000 * (time.perf_counter() - start)
    return Check("coordinator", "ok", f"{name} at {target}, {version}, {milliseconds:.0f} ms")
