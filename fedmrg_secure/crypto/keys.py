"""Secret bytes that do not leak by accident."""

from __future__ import annotations

import hmac
import os
from typing import ClassVar, NoReturn

from fedmrg_secure.core.errors import FedmrgError


class SecretUnavailable(FedmrgError):
    """A secret was asked for after it had been wiped, or in a way that would leak it."""

    code: ClassVar[str] = "FMRG-4501"


class SecretBytes:
    """Bytes of a key: redacted in every text form, never pickled or copied, wiped on demand.

    Guarantee:
        `repr`, `str`, `format`, tracebacks of this class and `pickle` never show the bytes;
        equality takes the same time wherever the first difference lies.

    Assumes:
        Python may have copied what `reveal` returned; `wipe` overwrites only this object's bytes.
    """

    __slots__ = ("__bytes", "__wiped")

    def __init__(self, value: bytes | bytearray) -> None:
        self.__bytes = bytearray(value)
        self.__wiped = False

    @classmethod
    def random(cls, size: int) -> SecretBytes:
        """`size` fresh bytes from the operating system."""
        return cls(os.urandom(size))

    def reveal(self) -> bytes:
        """The bytes themselves: for handing to a cryptographic library, nothing else.

        Raises:
            SecretUnavailable: the secret was wiped.
        """
        if self.__wiped:
            raise SecretUnavailable("this secret has been wiped")
        return bytes(self.__bytes)

    def wipe(self) -> None:
        """Overwrite the bytes with zeros; the secret cannot be revealed any more."""
        self.__bytes[:] = bytes(len(self.__bytes))
        self.__wiped = True

    def __len__(self) -> int:
        return len(self.__bytes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SecretBytes(<{len(self.__bytes)} bytes>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("a secret cannot be pickled or copied")
