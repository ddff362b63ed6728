from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from fedmrg_secure import __version__
from fedmrg_secure.cli import main as program
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError, InputError

LONG_RUNNING = (["coordinator", "serve"], ["client", "run"])
"""They print JSON lines as they go and have no result of their own."""
HEAVY = ("torch", "transformers", "peft", "tenseal", "grpc", "matplotlib", "pydantic", "numpy")


class Broken(FedmrgError):
    code = "FMRG-0998"


class Wrong(InputError):
    code = "FMRG-0999"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Makes the program have one command, `go`, that does what the test wants."""

    def use(action: Callable[[], None]) -> None:
        app = typer.Typer()

        @app.callback()
        def root() -> None: ...

        @app.command()
        def go(as_json: bool = typer.Option(False, "--json")) -> None:
            action()

        monkeypatch.setattr(program, "build_app", lambda: app)

    return use


def raiser(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Broken("the work failed"), 1),
        (Wrong("the input is wrong"), 2),
        (ErrorGroup([Wrong("one"), Wrong("two")]), 2),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), 1),
        (typer.Exit(1), 1),
        (typer.Exit(0), 0),
    ],
)
def test_every_end_has_its_exit_code(
    command: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    command(raiser(error))
    assert program.run_command(["go"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_an_error_is_explained_on_stderr_and_as_json_on_stdout(
    command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    error = ErrorGroup([Wrong("no such key", hint="did you mean x?", location="c.yaml:3:1")])
    command(raiser(error))
    assert program.run_command(["go", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == error.explain() + "\n"
    assert json.loads(captured.out) == {
        "error": {
            "code": "FMRG-0001",
            "message": "1 error; nothing was started.",
            "hint": "",
            "location": "",
            "exit_code": 2,
            "errors": [
                {
                    "code": "FMRG-0999",
                    "message": "no such key",
                    "hint": "did you mean x?",
                    "location": "c.yaml:3:1",
                }
            ],
        }
    }


def test_a_full_disk_says_so_and_what_to_do(
    command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raiser(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/x/blob")))
    assert program.run_command(["go"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("/runs/x/blob  FMRG-8001  the system refused: No space left on device")
    assert "free some space" in text


def test_a_bug_is_not_dressed_up_as_an_error(
    command: Callable[[Callable[[], None]], None],
) -> None:
    command(raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        program.run_command(["go"])


def test_debugging_shows_where_a_deliberate_error_was_raised(
    command: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEDMRG_DEBUG", "1")
    command(raiser(Broken("the work failed")))
    assert program.run_command(["go"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["validate"], ["validate", "--set"], ["doctor", "--port", "x"]],
)
def test_usage_mistakes_are_input_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run_command([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("FMRG-1201  ")
    assert "--help" in captured.err
    assert json.loads(captured.out)["error"]["code"] == "FMRG-1201"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"fedmrg {__version__}\n"


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run_command(["--help"]) == 0
    top = capsys.readouterr().out
    for module in program.COMMAND_MODULES:
        name = module.__name__.rpartition(".")[2]
        assert f"  {name}" in top
        for words in _leaf_commands(name):
            assert program.run_command([*words, "--help"]) == 0
            page = capsys.readouterr().out
            assert "Example" in page, f"fedmrg {' '.join(words)} --help has no example"
            assert f"fedmrg {' '.join(words)}" in page
            assert ("--json" in page) == (words not in LONG_RUNNING)


def _leaf_commands(name: str) -> list[list[str]]:
    group = typer.main.get_command(program.build_app()).commands[name]  # type: ignore[attr-defined]
    below = getattr(group, "commands", None)
    return [[name, leaf] for leaf in below] if below else [[name]]


def test_starting_the_program_loads_nothing_heavy() -> None:
    script = (
        "import sys, fedmrg_secure.cli.main as m; m.build_app(); m.run_command(['--help'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
    assert time.perf_counter() - start < 5


def test_a_reader_that_goes_away_is_no_crash(tmp_path: Path) -> None:
    script = "import sys; from fedmrg_secure.cli.main import main; main(['--help'])"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.wait(30)
    process.stderr.close()
    assert b"Traceback" not in errors
