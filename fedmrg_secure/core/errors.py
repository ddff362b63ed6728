"""The one root of every error this package raises on purpose.

An error has a stable code, a sentence that says what happened and a hint that says what to do.
Codes are grouped by room: 1xxx configuration, 2xxx data, 3xxx model and training, 4xxx update,
cryptography and privacy, 5xxx protocol and coordinator, 6xxx site and federation, 7xxx log, 8xxx
environment. Subclasses live beside the code that raises them.
"""

from __future__ import annotations

from typing import ClassVar


class FedmrgError(Exception):
    """Root of all deliberate errors.

    Args:
        message: what happened, one sentence, no secrets, no patient data.
        hint: what the reader can do about it; empty where nothing helps.
        location: where the input is wrong, as ``file:line:column`` or ``file``; may be empty.
    """

    code: ClassVar[str] = "FMRG-0000"
    exit_code: ClassVar[int] = 1
    """1: the work failed. 2: the input was wrong (see `InputError`)."""

    def __init__(self, message: str, *, hint: str = "", location: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location

    def __str__(self) -> str:
        return self.message

    def explain(self) -> str:
        """The error as a person reads it: ``[location  ]code  message`` and an indented hint."""
        where = f"{self.location}  " if self.location else ""
        lines = [f"{where}{self.code}  {self.message}"]
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


class InputError(FedmrgError):
    """What the user gave is wrong: nothing was started."""

    exit_code: ClassVar[int] = 2


class ErrorGroup(InputError):
    """Several independent errors of one input, reported together.

    Args:
        errors: at least one error, in the order of the input.
    """

    code: ClassVar[str] = "FMRG-0001"

    def __init__(self, errors: list[FedmrgError]) -> None:
        count = len(errors)
        super().__init__(f"{count} error{'s' if count != 1 else ''}; nothing was started.")
        self.errors = tuple(errors)

    def explain(self) -> str:
        return "\n".join([*(error.explain() for error in self.errors), self.message])
