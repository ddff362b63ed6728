"""Documents say only what is there: commands, options, targets, files and links exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from fedmrg_secure.cli.main import build_app, run_command

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "protocols").rglob("*.md")]
)
BLOCK = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> Iterator[str]:
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.partition(" #")[0].removeprefix("$ ").strip()
            if command and not command.startswith("#"):
                yield command


def commands(program: str) -> list[tuple[str, str]]:
    found = {
        (page.relative_to(ROOT).as_posix(), re.sub(r"^\.venv/bin/", "", line))
        for page in PAGES
        for line in shell_lines(page)
    }
    return sorted((page, line) for page, line in found if line.split()[0] == program)


@cache
def whole_program() -> Any:
    return typer.main.get_command(build_app())


@pytest.mark.parametrize(("page", "line"), commands("fedmrg"))
def test_every_command_and_option_of_the_documents_exists(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    command = whole_program()
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        assert words[0] in command.commands, f"{page}: no such command: {line}"
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used <= known, f"{page}: {line}"


def test_the_readme_shows_commands_at_all() -> None:
    assert len([page for page, _ in commands("fedmrg") if page == "README.md"]) >= 8
    assert [line for page, line in commands("make") if page == "README.md"]


@pytest.mark.parametrize(("page", "line"), commands("make"))
def test_every_make_target_of_the_documents_exists(page: str, line: str) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in shlex.split(line)[1:]:
        assert word in targets or "=" in word, f"{page}: make {word}"


def test_the_first_command_of_the_readme_plans_its_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "run configs/quickstart.yaml --dry-run"
    assert f"fedmrg {command}" in (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    assert run_command(command.split()) == 0
    assert "What the run will cost" in capsys.readouterr().out


def test_the_configuration_shown_in_the_readme_is_sound(tmp_path: Path) -> None:
    from fedmrg_secure.core.yaml_source import load_run_config

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert shown
    for index, block in enumerate(shown):
        path = tmp_path / f"{index}.yaml"
        path.write_text(block, encoding="utf-8")
        load_run_config(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(r"`([\w./-]+\.(?:py|toml|txt|proto))`", prose):
        places = [ROOT / name, ROOT / "fedmrg_secure" / name]
        assert any(place.exists() for place in places), f"{page.name} names {name}"


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (ROOT / "fedmrg_secure").glob("*/__init__.py")]
    assert [room for room in rooms if f"| `{room}` |" not in page] == []
