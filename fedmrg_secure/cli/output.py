"""How every command speaks: one JSON object on stdout under ``--json``, else words and tables."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.core.errors import ErrorGroup, FedmrgError

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on stdout; words go to stderr."),
]
"""The ``--json`` flag; every command takes it: ``as_json: JsonOption = False``."""

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key of the configuration, e.g. training.rounds=2. Repeatable.",
        show_default=False,
    ),
]
"""The ``--set a.b=c`` option of every command that reads a configuration."""


_NUMBER = re.compile(r"([-+]?[\d.,]+(e-?\d+)?)?")


class Output:
    """Where one command writes.

    Args:
        as_json: the command's ``--json`` flag. Then stdout carries exactly the object given to
            `result`, and everything else goes to stderr.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @property
    def console(self) -> Console:
        """A rich console: stdout for people, stderr under ``--json``."""
        from rich.console import Console

        stream = sys.stderr if self.as_json else sys.stdout
        # A file or a pipe has no width of its own: do not cut names to 80 columns there.
        return Console(file=stream, highlight=False, width=None if stream.isatty() else 120)

    def say(self, text: str = "") -> None:
        """One or more plain lines: unwrapped, no markup, so that paths and codes stay whole."""
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def note(self, text: str) -> None:
        """A remark that is not the command's result: always stderr."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; cells are shown with ``str``, columns of numbers to the right."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=title or None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_header=any(columns),
        )
        for index, column in enumerate(columns):
            numbers = all(_NUMBER.fullmatch(str(row[index])) for row in rows)
            table.add_column(column, justify="right" if numbers else "left")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        self.console.print(table)

    def result(self, value: Mapping[str, Any]) -> None:
        """The command's result: printed as one JSON object under ``--json``, else nothing."""
        if self.as_json:
            print_json(value)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot say.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    print(line, file=sys.stdout, flush=True)  # noqa: T201


def error_json(error: FedmrgError) -> dict[str, Any]:
    """``{"error": {code, message, hint, location, exit_code[, errors]}}``."""
    body = _error_fields(error)
    body["exit_code"] = error.exit_code
    if isinstance(error, ErrorGroup):
        body["errors"] = [_error_fields(each) for each in error.errors]
    return {"error": body}


def _error_fields(error: FedmrgError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "location": error.location,
    }


def typed_command() -> str:
    """This process's command as a person types it."""
    return shlex.join(["fedmrg", *sys.argv[1:]])


def human_bytes(count: float) -> str:
    """Bytes in binary units: ``1536`` gives ``"1.5 KiB"``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
