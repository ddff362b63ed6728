"""What a peer may be told went wrong, one class a code; `SPEC.md` holds the same registry.

A message of one of these goes over the wire as it is, so none may name a path, a secret or patient
data. `protocol.status` maps each class to its gRPC status and back.
"""

from __future__ import annotations

from typing import ClassVar

from fedmrg_secure.core.errors import FedmrgError, InputError


class ProtocolError(FedmrgError):
    """Root of what `SPEC.md` registers; also what an unregistered code of a peer becomes."""

    code: ClassVar[str] = "FMRG-5000"


class InvalidMessage(ProtocolError):
    """A message is malformed, not canonical or out of range."""

    code: ClassVar[str] = "FMRG-5001"


class UnsupportedVersion(ProtocolError):
    """The envelope's version is not one that this program speaks."""

    code: ClassVar[str] = "FMRG-5002"


class BadSignature(ProtocolError):
    """The envelope's signature is not the sender's over these bytes."""

    code: ClassVar[str] = "FMRG-5003"


class NotAuthenticated(ProtocolError):
    """The certificate is missing, expired, revoked, of another federation or unfit for its use."""

    code: ClassVar[str] = "FMRG-5004"


class NotPermitted(ProtocolError):
    """The caller is known, but this is not its to do."""

    code: ClassVar[str] = "FMRG-5005"


class WrongSession(ProtocolError):
    """The message belongs to another session."""

    code: ClassVar[str] = "FMRG-5006"


class WrongRound(ProtocolError):
    """The message is for a round that is over, not yet open or not this one."""

    code: ClassVar[str] = "FMRG-5007"


class WrongPhase(ProtocolError):
    """The round or session is not in the phase in which this is done."""

    code: ClassVar[str] = "FMRG-5008"


class Conflict(ProtocolError):
    """The message differs from what the same party has already sent and stands recorded."""

    code: ClassVar[str] = "FMRG-5009"


class StateMismatch(ProtocolError):
    """The site's model is not the one that the round starts from."""

    code: ClassVar[str] = "FMRG-5010"


class WeightRefused(ProtocolError):
    """The declared weight is zero or above the manifest's cap."""

    code: ClassVar[str] = "FMRG-5011"


class ChunkRefused(ProtocolError):
    """A chunk is not the one that the signed manifest lists, or the manifest does not add up."""

    code: ClassVar[str] = "FMRG-5012"


class TooMuchData(ProtocolError):
    """More bytes came than the session's manifest allows this party."""

    code: ClassVar[str] = "FMRG-5013"


class NotAvailable(ProtocolError):
    """What was asked for does not exist (yet)."""

    code: ClassVar[str] = "FMRG-5014"


class SessionEnded(ProtocolError):
    """The session has finished or failed; nothing is accepted any more."""

    code: ClassVar[str] = "FMRG-5015"


class CoordinatorFault(ProtocolError):
    """The coordinator met an error of its own that it does not describe to peers."""

    code: ClassVar[str] = "FMRG-5016"


class CoordinatorFull(ProtocolError):
    """The coordinator has no room left to store anything; its state is whole."""

    code: ClassVar[str] = "FMRG-5017"


class TooManyCalls(ProtocolError):
    """The caller has too many calls under way, or calls too often; try again a little later."""

    code: ClassVar[str] = "FMRG-5023"


class CoordinatorUnreachable(ProtocolError):
    """No answer came within the caller's patience."""

    code: ClassVar[str] = "FMRG-5018"


class ReplyRefused(ProtocolError):
    """The coordinator's answer is not signed by it, not for this question or not well-formed."""

    code: ClassVar[str] = "FMRG-5019"


class InvalidManifest(InputError):
    """A session manifest is malformed or contradicts itself."""

    code: ClassVar[str] = "FMRG-5020"


class CallCancelled(ProtocolError):
    """The caller closed the client while a call was under way."""

    code: ClassVar[str] = "FMRG-5021"


class RefusedForCause(ProtocolError):
    """The coordinator refused with a code outside this registry, such as a frame's (4xxx).

    Args:
        remote_code: the code as the coordinator sent it, ``FMRG-dddd``.
        message: the coordinator's sentence.
    """

    code: ClassVar[str] = "FMRG-5022"

    def __init__(self, remote_code: str, message: str) -> None:
        super().__init__(f"{remote_code}: {message}")
        self.remote_code = remote_code
