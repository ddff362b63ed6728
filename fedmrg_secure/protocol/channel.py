"""One mutual-TLS channel to the coordinator, and calls that outlive its restarts.

There is no insecure channel: no flag, no fallback.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final, TypeVar

import grpc

from fedmrg_secure.protocol.errors import (
    CallCancelled,
    CoordinatorFull,
    CoordinatorUnreachable,
    NotAuthenticated,
    TooManyCalls,
)
from fedmrg_secure.protocol.status import error_of

MAX_MESSAGE_BYTES: Final = 10 << 20
SERVICE: Final = "/fedmrg.v1.Federation/"
_LONG_BYTES: Final = 1 << 18
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,  # the server shut down while the call was under way
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,  # a stream reset by a dying server
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # all of the server's workers are busy
    }
)

_PASSING: Final = (CoordinatorFull, TooManyCalls)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """What one party shows in TLS.

    Args:
        chain_pem: leaf and issuing certificates, leaf first.
        key_pem: the leaf's private key, unencrypted PKCS 8.
        authority_pem: the only trust anchor.
    """

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    authority_pem: bytes = field(repr=False)


def open_channel(target: str, server_name: str, tls: TlsIdentity) -> grpc.Channel:
    """A channel to ``host:port`` that accepts only `server_name`'s certificate of the authority."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.authority_pem,
        private_key=tls.key_pem,
        certificate_chain=tls.chain_pem,
    )
    return grpc.secure_channel(
        target,
        credentials,
        options=[
            ("grpc.ssl_target_name_override", server_name),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.enable_retries", 0),  # retried here, where the caller's patience is known
            ("grpc.use_local_subchannel_pool", 1),  # two identities in one process stay apart
        ],
    )


class Channels:
    """A site's channel to its coordinator, and one more for as long as it sends much.

    gRPC sizes a connection's read buffers by what came in one go, and keeps them while it is idle
    (grpc issue 42194): up to a megabyte of the coordinator's memory for each site that has once
    sent much. A channel that is closed leaves nothing.

    Args:
        target: ``host:port``.
        server_name, tls: see `open_channel`.
    """

    def __init__(self, target: str, server_name: str, tls: TlsIdentity) -> None:
        self._open = functools.partial(open_channel, target, server_name, tls)
        self._apart: set[grpc.Channel] = set()
        self.shared = self._open()

    def close(self) -> None:
        """End all calls. May be called twice."""
        for channel in (self.shared, *self._apart):
            channel.close()

    @contextmanager
    def apart(self) -> Iterator[grpc.Channel]:
        """A channel for one call, closed after it."""
        with self._open() as channel:
            self._apart.add(channel)
            try:
                yield channel
            finally:
                self._apart.discard(channel)

    def for_message(self, message_bytes: int) -> AbstractContextManager[grpc.Channel]:
        """A channel of its own for a long message, the shared one for others."""
        return self.apart() if message_bytes > _LONG_BYTES else nullcontext(self.shared)


class PatientCaller:
    """Repeats idempotent calls until they succeed, are refused, or the caller's patience ends.

    Args:
        patience_s: longest time without any success, seconds.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._closed = threading.Event()

    def close(self) -> None:
        """Make pending and further calls raise `CallCancelled`."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def call(self, attempt: Callable[[], T], made_progress: Callable[[], bool] = bool) -> T:
        """The result of `attempt`, repeated with exponential backoff and jitter.

        Args:
            attempt: one gRPC call; safe to repeat.
            made_progress: whether a failed attempt got further than the one before: a stream that
                moves, however slowly, is not given up.

        Raises:
            ProtocolError: the coordinator refused; repeated only when it is full or busy.
            CoordinatorUnreachable: no success and no progress for `patience_s`.
            CallCancelled: `close` was called.
        """
        deadline = time.monotonic() + self.patience_s
        pause_s = _FIRST_PAUSE_S
        while not self.closed:
            try:
                return attempt()
            except grpc.RpcError as error:
                last = self._reason_to_repeat(error)
            except ValueError as error:  # gRPC's answer to a call on a closed channel
                if self._closed.is_set():
                    break
                raise error
            if made_progress():
                deadline = time.monotonic() + self.patience_s
                pause_s = _FIRST_PAUSE_S
            if time.monotonic() >= deadline:
                if isinstance(last, _PASSING):
                    raise last
                raise CoordinatorUnreachable(
                    f"no answer from the coordinator for {self.patience_s:g} s: {last}",
                    hint="check that it runs, its address, and the network between; a coordinator "
                    "that refuses this site's certificate just closes the connection",
                )
            self._closed.wait(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        raise CallCancelled("the client was closed")

    def _reason_to_repeat(self, error: grpc.RpcError) -> Exception:
        """Why the call may be repeated; raises where it may not."""
        if self.closed:
            raise CallCancelled("the client was closed") from error
        code, details = error.code(), error.details() or ""
        refusal = error_of(details, error.trailing_metadata())
        if isinstance(refusal, _PASSING):
            return refusal
        if refusal is not None:
            raise refusal from None
        if _is_tls_failure(details):
            raise NotAuthenticated(
                f"TLS with the coordinator failed: {details[:300]}",
                hint="are both certificates of one federation, and not expired?",
            ) from error
        if code not in _TRANSIENT:
            raise CoordinatorUnreachable(
                f"the call failed: {code.name} {details[:300]}",
            ) from error
        return CoordinatorUnreachable(f"{code.name} {details[:300]}")


def _is_tls_failure(details: str) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details
