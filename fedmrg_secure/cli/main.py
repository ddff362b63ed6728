"""The program `fedmrg`: registers the commands and turns errors into words and exit codes.

Nothing heavy is imported here or at the top of a command's module: `fedmrg coordinator serve` must
never load torch, and `fedmrg --help` must be quick.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, ClassVar

import typer

from fedmrg_secure import __version__
from fedmrg_secure.cli import (
    adapt,
    audit,
    bench,
    budget,
    client,
    coordinator,
    doctor,
    evaluate,
    export,
    generate,
    log,
    provision,
    report,
    run,
    session,
    validate,
)
from fedmrg_secure.cli.output import error_json, print_json
from fedmrg_secure.cli.supervised import end_with_parent
from fedmrg_secure.core.errors import FedmrgError, InputError

COMMAND_MODULES: tuple[ModuleType, ...] = (
    run,
    validate,
    session,
    coordinator,
    client,
    generate,
    adapt,
    evaluate,
    report,
    export,
    log,
    budget,
    audit,
    provision,
    bench,
    doctor,
)
"""Each has `register(app)`; the order is that of the help page."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it (128 + SIGINT)."""


class UsageMistake(InputError):
    """The command line itself is wrong: unknown command, option or missing argument."""

    code: ClassVar[str] = "FMRG-1201"


class SystemRefused(FedmrgError):
    """The operating system refused a file, a port or memory."""

    code: ClassVar[str] = "FMRG-8001"


def build_app() -> typer.Typer:
    """The whole command tree."""
    app = typer.Typer(
        name="fedmrg",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": 100},
        help=(
            "Train one medical report generator across hospitals that may not share data: "
            "low-rank updates leave a site encrypted, and are added by a coordinator that "
            "cannot open them."
        ),
        epilog=(
            "Exit codes: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted. "
            "Set FEDMRG_DEBUG=1 to see where an error was raised."
        ),
    )
    app.callback()(_root)
    for module in COMMAND_MODULES:
        module.register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    end_with_parent()
    # Libraries announce their own coming changes, and gRPC's core says in its own words what we
    # say in ours: nothing that a user can act upon.
    warnings.simplefilter("ignore", FutureWarning)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; deliberate errors are explained, not traced."""
    as_json = "--json" in arguments
    os.environ.setdefault("TQDM_DISABLE", "1")  # libraries' bars would break into our display
    try:
        outcome = build_app()(args=list(arguments), prog_name="fedmrg", standalone_mode=False)
    except FedmrgError as error:
        return _explain(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except OSError as error:
        return _system_error(error, as_json=as_json)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            return 2  # the help page has been printed
        return _explain(_usage_mistake(error), as_json=as_json)
    return outcome if isinstance(outcome, int) else 0


def _print_version(asked: bool) -> None:
    if asked:
        print(f"fedmrg {__version__}")  # noqa: T201
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Options before the command; each acts in its own callback."""


def _explain(error: FedmrgError, *, as_json: bool) -> int:
    if os.environ.get("FEDMRG_DEBUG"):
        traceback.print_exception(error, file=sys.stderr)
    print(error.explain(), file=sys.stderr)  # noqa: T201
    if as_json:
        print_json(error_json(error))
    return error.exit_code


def _system_error(error: OSError, *, as_json: bool) -> int:
    if error.errno == errno.EPIPE:
        # The reader of our stdout went away (`fedmrg ... | head`): flushing again would raise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    where = str(error.filename) if error.filename else ""
    hints = {
        errno.ENOSPC: "free some space and start again; what was written before is whole",
        errno.EACCES: "check who may read and write there",
        errno.EADDRINUSE: "choose another port, or 0 for any free one",
    }
    reason = error.strerror or str(error) or type(error).__name__
    refused = SystemRefused(
        f"the system refused: {reason}", hint=hints.get(error.errno or 0, ""), location=where
    )
    refused.__cause__ = error
    return _explain(refused, as_json=as_json)


def _usage_mistake(error: Exception) -> UsageMistake:
    """The library's usage error in our form: its sentence and where the command's help is."""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "fedmrg")
    message = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    return UsageMistake(message[:1].lower() + message[1:], hint=f"see {command} --help")


if __name__ == "__main__":
    main()
