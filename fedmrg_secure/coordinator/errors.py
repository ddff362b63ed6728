"""What can go wrong at the coordinator itself; peers see none of it but a full disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

from sqlalchemy.exc import OperationalError

from fedmrg_secure.audit_log.log import LogNotWritten
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.protocol.errors import CoordinatorFull


class FolderBusy(FedmrgError):
    """Another coordinator works in this folder."""

    code: ClassVar[str] = "FMRG-8502"


class FolderUnfit(InputError):
    """The folder lacks what a coordinator needs, or holds another session's state."""

    code: ClassVar[str] = "FMRG-8503"


class StorageDamaged(FedmrgError):
    """A stored frame is missing or has changed."""

    code: ClassVar[str] = "FMRG-5101"


class SessionFailed(FedmrgError):
    """The session ended without its rounds."""

    code: ClassVar[str] = "FMRG-5102"


class NotRegisteredHere(InputError):
    """Roster and session manifest do not belong together."""

    code: ClassVar[str] = "FMRG-5103"


_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def no_room_is_full() -> Iterator[None]:
    """Turn what a full disk raises into `CoordinatorFull`; everything else passes."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise CoordinatorFull("the coordinator's disk is full; try again later") from error
        raise
    except LogNotWritten as error:
        raise CoordinatorFull("the coordinator's log cannot be written; try again later") from error
    except OperationalError as error:
        if "disk is full" in str(error.orig) or "disk I/O" in str(error.orig):
            raise CoordinatorFull("the coordinator's disk is full; try again later") from error
        raise
