"""Who may hold one of the server's workers: a party in good standing, and each only so many.

gRPC gives a call a worker as soon as its headers are there. A handler of a unary method would begin
only once the message is there too, and until then its worker waits for whoever was able to connect.
So all methods are served as streams of messages, which look the same on the wire: the handler
begins at once, and identity and limits come before it waits for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import grpc

from fedmrg_secure.protocol.errors import InvalidMessage, NotAuthenticated
from fedmrg_secure.protocol.streams import IdleWatch
from fedmrg_secure.protocol.turnstile import Turnstile

M = TypeVar("M")


class Admission:
    """Lets calls in.

    Args:
        authenticate: the party of a TLS certificate (PEM), or raises; see `service.Service`.
        turnstile: bounds each party's calls.
        watch: ends calls that do not send what they begin.
    """

    def __init__(
        self, authenticate: Callable[[bytes], str], turnstile: Turnstile, watch: IdleWatch
    ) -> None:
        self._authenticate = authenticate
        self._turnstile = turnstile
        self._watch = watch

    def first(
        self, messages: Iterator[M], context: grpc.ServicerContext, within_s: float
    ) -> tuple[str, M]:
        """The caller of a call that has just begun, and its first message.

        Args:
            messages: what the caller sends; nothing is read of it before the caller is let in.
            within_s: then a call whose first message is not complete is cancelled.

        Raises:
            NotAuthenticated, NotPermitted: see `identity`.
            TooManyCalls: the caller has too many calls under way, or calls too often.
            InvalidMessage: the call ended without a message.
        """
        party = self.identity(context)
        self._turnstile.enter(party)
        if not context.add_callback(lambda: self._turnstile.leave(party)):
            self._turnstile.leave(party)  # the caller is gone already
        with self._watch.watched(context, within_s):
            for message in messages:
                return party, message
        raise InvalidMessage("a call came without a message")

    def identity(self, context: grpc.ServicerContext) -> str:
        """Who calls, as the certificate says and the roster in force allows.

        Raises:
            NotAuthenticated: no certificate, or one that is expired, revoked, unfit or foreign.
            NotPermitted: the party has no place in the session.
        """
        authenticated: Mapping[str, Any] = context.auth_context()
        certificates = authenticated.get("x509_pem_cert")
        if not certificates:
            raise NotAuthenticated("there is no client certificate")
        return self._authenticate(certificates[0])
