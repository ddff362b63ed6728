"""The gRPC server: mutual TLS, an identity and a signature on every call, limits, graceful end.

The coordinator implements `Service` in the protocol's own words and never sees gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import BoundedSemaphore
from typing import Any, ClassVar, Final, NoReturn, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.logging import get_logger
from fedmrg_secure.core.memory import return_freed_memory
from fedmrg_secure.core.types import Signer, Verifier
from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.admission import Admission
from fedmrg_secure.protocol.channel import MAX_MESSAGE_BYTES, TlsIdentity
from fedmrg_secure.protocol.codec import Message
from fedmrg_secure.protocol.envelope import Envelope, open_envelope, seal_envelope
from fedmrg_secure.protocol.errors import InvalidMessage, NotAvailable
from fedmrg_secure.protocol.sequence import Sequence
from fedmrg_secure.protocol.service import Call, Service, UploadSink
from fedmrg_secure.protocol.status import CODE_KEY, sanitised, status_of
from fedmrg_secure.protocol.streams import IdleWatch
from fedmrg_secure.protocol.turnstile import Turnstile
from fedmrg_secure.protocol.v1 import transport_pb2

SERVICE_NAME: Final = "fedmrg.v1.Federation"
_HEALTH_NAME: Final = "grpc.health.v1.Health"
_STREAMS_PER_CONNECTION: Final = 32
_WINDOW_BYTES: Final = 256 * 1024
"""What a site may send ahead: 100 Mbit/s at 20 ms of round trip."""
_IDLE_STREAM_S: Final = 60.0
_FIRST_MESSAGE_S: Final = 20.0
"""The longest first message, but for `_BULKY`, is an upload's manifest of some 2 MB."""
CALLS_PER_PARTY: Final = 4
"""Calls of one party at a time: heartbeat, one stream, one more, and one that is just ending."""
_CALLS_PER_S: Final = 100.0
"""A whole round takes a site some thirty calls and one poll in every fraction of a second."""
_CALL_BURST: Final = 400

_BULKY: Final = frozenset({"DepositShares", "DepositShareSums", "FetchShares", "FetchOpening"})
"""Calls with a share for every site: megabytes where sites are many."""
_BULKY_AT_A_TIME: Final = 2
"""A message is copied several times on its way, and more at a time would not be faster."""

M = TypeVar("M")

_UNARY: Final[dict[str, type[Message]]] = {
    "AcceptSession": m.AcceptSession,
    "GetStatus": m.GetStatus,
    "Heartbeat": m.Heartbeat,
    "Announce": m.Announce,
    "PublishKey": m.PublishKey,
    "FetchKey": m.FetchKey,
    "DepositShares": c.DepositShares,
    "Commit": c.Commit,
    "GetCohort": c.GetCohort,
    "CoSignCohort": c.CoSignCohort,
    "GetInclusion": c.GetInclusion,
    "CoSignInclusion": c.CoSignInclusion,
    "FetchShares": c.FetchShares,
    "DepositShareSums": c.DepositShareSums,
    "PublishShareSums": c.PublishShareSums,
    "FetchOpening": c.FetchOpening,
    "GetUploadStatus": m.GetUploadStatus,
    "GetAggregate": m.GetAggregate,
    "Acknowledge": m.Acknowledge,
    "RequestSnapshot": sn.RequestSnapshot,
    "GetOfferStatus": sn.GetOfferStatus,
    "GetSnapshot": sn.GetSnapshot,
    "SettleSnapshot": sn.SettleSnapshot,
    "GetClosure": sn.GetClosure,
}


class PortBusy(FedmrgError):
    """The address to serve on is taken or does not exist."""

    code: ClassVar[str] = "FMRG-8501"


class _Gate:
    """Lets so many through at a time, and gives back the memory that each leaves behind."""

    def __init__(self, at_a_time: int) -> None:
        self._places = BoundedSemaphore(at_a_time)

    def __enter__(self) -> None:
        self._places.acquire()

    def __exit__(self, *_: object) -> None:
        return_freed_memory()
        self._places.release()


class Server:
    """A service on one port.

    Args:
        service: what answers.
        signer: signs every reply as the coordinator.
        verifier: the roster.
        tls: the coordinator's certificate and key, and the only authority of clients.
        host, port: where to listen; port 0 takes a free one.
        forwarded: further error classes that a caller may see as they are.
        workers: calls that run at a time.
        idle_stream_s: a stream on which nothing moves for so long is ended.
        first_message_s: so is a call whose first message is not there by then.

    Raises:
        PortBusy: another program listens there, or the host is not this machine's.
    """

    def __init__(
        self,
        service: Service,
        *,
        signer: Signer,
        verifier: Verifier,
        tls: TlsIdentity,
        host: str,
        port: int,
        forwarded: tuple[type[FedmrgError], ...] = (),
        workers: int = 16,
        idle_stream_s: float = _IDLE_STREAM_S,
        first_message_s: float = _FIRST_MESSAGE_S,
    ) -> None:
        self._service = service
        self._signer = signer
        self._verifier = verifier
        self._forwarded = forwarded
        self._sequence = Sequence()
        self._watch = IdleWatch(idle_stream_s)
        self._idle_stream_s, self._first_message_s = idle_stream_s, first_message_s
        self._bulky = _Gate(_BULKY_AT_A_TIME)
        self._admission = Admission(
            service.authenticate,
            Turnstile(CALLS_PER_PARTY, _CALLS_PER_S, _CALL_BURST),
            self._watch,
        )
        self._health = health_pb2.HealthCheckResponse.NOT_SERVING
        self._server = grpc.server(
            ThreadPoolExecutor(workers, thread_name_prefix="fedmrg-call"),
            maximum_concurrent_rpcs=4 * workers,
            options=[
                ("grpc.so_reuseport", 0),  # a busy port is an error, not a shared one
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_metadata_size", 16_384),
                # A fixed window: one that grows with the traffic holds up to a megabyte for each
                # connection that once sent much, and keeps it while the connection is idle.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
                ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.server_handshake_timeout_ms", 20_000),
            ],
        )
        self._server.add_generic_rpc_handlers((self._handlers(), self._health_handlers()))
        credentials = grpc.ssl_server_credentials(
            [(tls.key_pem, tls.chain_pem)],
            root_certificates=tls.authority_pem,
            require_client_auth=True,
        )
        self.port = _bind(self._server, host, port, credentials)

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()
        self._health = health_pb2.HealthCheckResponse.SERVING

    def stop(self, grace_s: float) -> None:
        """Take no new calls, let running ones finish for `grace_s`, then end."""
        self._health = health_pb2.HealthCheckResponse.NOT_SERVING
        self._server.stop(grace_s).wait()
        self._watch.close()

    def _handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Unary methods too are served as streams; see `protocol.admission`."""
        handlers: dict[str, Any] = {
            name: grpc.stream_unary_rpc_method_handler(self._unary(name, expected))
            for name, expected in _UNARY.items()
        }
        handlers["GetSession"] = grpc.stream_unary_rpc_method_handler(
            self._unary("GetSession", m.GetSession, in_session=False)
        )
        service = self._service
        for name, up in (
            ("Upload", self._upload(m.UploadManifest, service.begin_upload)),
            ("UploadSnapshot", self._upload(sn.OfferSnapshot, service.begin_offer)),
        ):
            handlers[name] = grpc.stream_unary_rpc_method_handler(
                up, request_deserializer=transport_pb2.UploadPart.FromString
            )
        for name, down in (
            ("Download", self._download(m.Download, service.frames)),
            ("DownloadSnapshot", self._download(sn.DownloadSnapshot, service.snapshot_chunks)),
        ):
            handlers[name] = grpc.stream_stream_rpc_method_handler(
                down, response_serializer=transport_pb2.Chunk.SerializeToString
            )
        return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)

    def _health_handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Check alone: Watch would hold a worker for as long as somebody watches."""
        check = grpc.stream_unary_rpc_method_handler(
            self._check_health,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(_HEALTH_NAME, {"Check": check})

    def _check_health(
        self, messages: Iterator[health_pb2.HealthCheckRequest], context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        try:
            _, request = self._admission.first(messages, context, self._first_message_s)
            if request.service not in ("", SERVICE_NAME):
                raise NotAvailable("no such service")
            return health_pb2.HealthCheckResponse(status=self._health)
        except Exception as error:
            self._refuse(context, error)

    def _unary(
        self, name: str, expected: type[Message], *, in_session: bool = True
    ) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
        gate = self._bulky if name in _BULKY else None
        within_s = self._idle_stream_s if gate else self._first_message_s

        def handle(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            try:
                site, data = self._admission.first(messages, context, within_s)
                with gate or nullcontext():
                    call, message = self._open(site, data, expected, in_session=in_session)
                    return self._seal(self._service.answer(call, message), call.envelope)
            except Exception as error:
                self._refuse(context, error)

        return handle

    def _upload(
        self, expected: type[M], begin: Callable[[Call, M], UploadSink]
    ) -> Callable[[Iterator[transport_pb2.UploadPart], grpc.ServicerContext], bytes]:
        def handle(
            parts: Iterator[transport_pb2.UploadPart], context: grpc.ServicerContext
        ) -> bytes:
            try:
                site, first = self._admission.first(parts, context, self._first_message_s)
                if not first.HasField("manifest"):
                    raise InvalidMessage("an upload begins with its signed manifest")
                with self._watch.watched(context) as alive:
                    call, manifest = self._open(site, first.manifest.SerializeToString(), expected)
                    upload = begin(call, manifest)
                    for part in parts:
                        alive()
                        if not part.HasField("chunk"):
                            raise InvalidMessage("a second manifest came in one upload")
                        self._admission.identity(context)
                        upload.store(part.chunk.index, part.chunk.frame)
                    upload.finish()
                    return self._seal(m.Receipt(), call.envelope)
            except Exception as error:
                self._refuse(context, error)

        return handle

    def _download(
        self, expected: type[M], chunks: Callable[[Call, M], Iterator[tuple[int, bytes]]]
    ) -> Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[transport_pb2.Chunk]]:
        def handle(
            messages: Iterator[bytes], context: grpc.ServicerContext
        ) -> Iterator[transport_pb2.Chunk]:
            try:
                site, data = self._admission.first(messages, context, self._first_message_s)
                with self._watch.watched(context) as alive:
                    call, request = self._open(site, data, expected)
                    for index, frame in chunks(call, request):
                        alive()
                        self._admission.identity(context)
                        yield transport_pb2.Chunk(index=index, frame=frame)
            except Exception as error:
                self._refuse(context, error)

        return handle

    def _open(
        self, site: str, data: bytes, expected: type[M], *, in_session: bool = True
    ) -> tuple[Call, M]:
        envelope = Envelope.from_bytes(data)
        message = open_envelope(
            envelope,
            self._verifier,
            expected,
            session=self._service.session_id if in_session else b"",
            sender=site,
        )
        return Call(site, envelope), message

    def _seal(self, reply: Message, question: Envelope) -> bytes:
        return seal_envelope(
            self._signer,
            reply,
            session=question.session,
            round_number=question.round,
            sequence=self._sequence.next(),
            reply_to=question.digest,
        ).to_bytes()

    def _refuse(self, context: grpc.ServicerContext, error: Exception) -> NoReturn:
        if not context.is_active() and not isinstance(error, FedmrgError):
            context.abort(grpc.StatusCode.CANCELLED, "")  # the caller is gone; nobody reads this
        shown = sanitised(error, self._forwarded)
        if shown is not error:
            get_logger(__name__).error("a call failed", exc_info=error)
        context.set_trailing_metadata(((CODE_KEY, shown.code),))
        context.abort(*status_of(shown))
        raise AssertionError("abort always raises")


def _bind(server: grpc.Server, host: str, port: int, credentials: grpc.ServerCredentials) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_secure_port(address, credentials)
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise PortBusy(
            f"cannot listen on {address}: the port is in use or the host is not this machine's",
            hint="choose another port, or 0 for any free one",
        )
    return bound
