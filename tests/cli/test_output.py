from __future__ import annotations

import json

import pytest

from fedmrg_secure.cli.output import Output, human_bytes, print_json


def test_for_people_everything_is_on_stdout_but_notes(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.say("a line")
    output.table("Title", ["name", "bytes"], [("a-long-name" * 5, 12)])
    output.note("by the way")
    output.result({"a": 1})
    captured = capsys.readouterr()
    assert "a line" in captured.out
    assert "a-long-name" * 5 in captured.out
    assert captured.err == "by the way\n"
    assert '"a"' not in captured.out


def test_for_programs_stdout_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.say("a line")
    output.table("Title", ["name"], [("[bold]not markup[/bold]",)])
    output.result({"a": "é", "b": [1.5, None]})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": "é", "b": [1.5, None]}
    assert captured.out.count("\n") == 1
    assert "a line" in captured.err
    assert "[bold]not markup[/bold]" in captured.err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        print_json({"x": value})


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text
