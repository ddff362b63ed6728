"""Errors to gRPC statuses and back.

Only registered errors tell a peer their code and message; anything else becomes `CoordinatorFault`
without details. The code travels in the trailing metadata key `fedmrg-code`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import grpc

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.protocol import errors as e

CODE_KEY: Final = "fedmrg-code"

STATUS: Final[dict[type[FedmrgError], grpc.StatusCode]] = {
    e.InvalidMessage: grpc.StatusCode.INVALID_ARGUMENT,
    e.UnsupportedVersion: grpc.StatusCode.INVALID_ARGUMENT,
    e.BadSignature: grpc.StatusCode.UNAUTHENTICATED,
    e.NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    e.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    e.WrongSession: grpc.StatusCode.FAILED_PRECONDITION,
    e.WrongRound: grpc.StatusCode.FAILED_PRECONDITION,
    e.WrongPhase: grpc.StatusCode.FAILED_PRECONDITION,
    e.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    e.StateMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    e.WeightRefused: grpc.StatusCode.INVALID_ARGUMENT,
    e.ChunkRefused: grpc.StatusCode.INVALID_ARGUMENT,
    e.TooMuchData: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.NotAvailable: grpc.StatusCode.NOT_FOUND,
    e.SessionEnded: grpc.StatusCode.FAILED_PRECONDITION,
    e.CoordinatorFault: grpc.StatusCode.INTERNAL,
    e.CoordinatorFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.TooManyCalls: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Every error that goes over the wire, with its gRPC status: the error registry of `SPEC.md`."""

_CLASSES: Final = {cls.code: cls for cls in STATUS if issubclass(cls, e.ProtocolError)}
_CODE = re.compile(r"FMRG-\d{4}")
_MAX_MESSAGE: Final = 500


def sanitised(error: BaseException, forwarded: tuple[type[FedmrgError], ...]) -> FedmrgError:
    """What a peer may see of `error`: itself if registered, else a bare `CoordinatorFault`.

    Args:
        forwarded: further errors about a peer's own input, safe to be shown to it as they are.
    """
    if isinstance(error, forwarded) or type(error) in STATUS:
        assert isinstance(error, FedmrgError)
        return error
    return e.CoordinatorFault(
        "the coordinator met an error of its own; its operator's output says more"
    )


def status_of(error: FedmrgError) -> tuple[grpc.StatusCode, str]:
    """gRPC status and details of a sanitised error."""
    return STATUS.get(type(error), grpc.StatusCode.INVALID_ARGUMENT), error.message[:_MAX_MESSAGE]


def error_of(details: str | None, metadata: Iterable[Any] | None) -> e.ProtocolError | None:
    """The error that a reply's trailing metadata name, or None where they name none."""
    for key, value in metadata or ():
        if key == CODE_KEY and isinstance(value, str) and _CODE.fullmatch(value):
            message = "".join(c if c.isprintable() else "?" for c in (details or "")[:_MAX_MESSAGE])
            cls = _CLASSES.get(value)
            return cls(message) if cls is not None else e.RefusedForCause(value, message)
    return None
