"""``fedmrg provision``: a federation enrolled by its commands alone, step by step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.cli.main import run_command
from fedmrg_secure.provisioning.site_kit import load_kit
from tests.core.hostile_json import HOSTILE, with_value


class Desk:
    """Runs commands in one folder and gives their JSON."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> dict[str, object]:
        filled = [word.replace("@", f"{self.folder}/") for word in words]
        assert run_command(["provision", *filled, "--json"]) == code
        value: dict[str, object] = json.loads(self.capsys.readouterr().out)
        return value

    def request(self, party: str, *more: str) -> None:
        words = ("--federation", "lungs", "--authority", "@office/authority.pem")
        self("request", f"@{party}", *words, "--institution", f"House of {party}", *more)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    made = Desk(tmp_path, capsys)
    made("init", "@office", "--federation", "lungs")
    made.request("coordinator", "--host", "agg.example")
    made.request("spain", "--name", "spain")
    return made


def enrol(desk: Desk) -> None:
    desk("issue", "@office", "@coordinator/request.json", "@spain/request.json", "--out", "@grants")
    for party in ("coordinator", "spain"):
        desk("install", f"@{party}", f"@grants/{party}.grant.json")


def test_a_federation_is_enrolled(desk: Desk, tmp_path: Path) -> None:
    enrol(desk)
    assert load_kit(tmp_path / "spain").roster.sites == ("spain",)
    assert load_kit(tmp_path / "coordinator").identity.role == "coordinator"


def test_the_private_keys_stay_where_they_were_made(desk: Desk, tmp_path: Path) -> None:
    enrol(desk)
    travelling = [*tmp_path.rglob("request.json"), *(tmp_path / "grants").iterdir()]
    assert len(travelling) == 4
    for path in [*travelling, tmp_path / "office" / "roster.json"]:
        assert b"PRIVATE KEY" not in path.read_bytes()


def test_a_late_site_and_a_revocation(desk: Desk, tmp_path: Path) -> None:
    enrol(desk)
    desk.request("italy", "--name", "italy")
    desk("issue", "@office", "@italy/request.json", "--out", "@grants")
    desk("install", "@italy", "@grants/italy.grant.json")
    desk("install", "@coordinator", "@office/roster.json")
    assert load_kit(tmp_path / "coordinator").roster.sites == ("italy", "spain")
    shown = desk("roster", "@office", "--revoke", "spain")
    assert shown["epoch"] == 3
    assert desk("install", "@coordinator", "@office/roster.json")["sites"] == ["italy"]
    refused = desk("install", "@spain", "@office/roster.json", code=1)
    assert refused["error"]["code"] == "FMRG-4543"  # type: ignore[index]


def test_showing_the_roster_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    assert desk("roster", "@office")["epoch"] == 0
    enrol(desk)
    before = (tmp_path / "office" / "roster.json").read_bytes()
    assert desk("roster", "@office")["epoch"] == 1
    assert (tmp_path / "office" / "roster.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("init", "@office", "--federation", "lungs"), 2),
        (("init", "@new", "--federation", "Lungs of Europe"), 2),
        (("issue", "@office", "@spain/kit.json", "--out", "@grants"), 2),
        (("issue", "@office", "@spain/request.json", "--out", "@grants"), 2),
        (("issue", "@nowhere", "@spain/request.json", "--out", "@grants"), 2),
        (("install", "@spain", "@spain/request.json"), 2),
        (("install", "@nowhere", "@spain/request.json"), 2),
        (("roster", "@office", "--revoke", "spain"), 2),
    ],
)
def test_mistakes_are_explained(desk: Desk, words: tuple[str, ...], code: int) -> None:
    answer = desk(*words, code=code)
    assert answer["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_explained(desk: Desk, tmp_path: Path, text: str) -> None:
    enrol(desk)
    request = json.loads((tmp_path / "spain" / "request.json").read_bytes())
    (tmp_path / "request").write_bytes(with_value(request, "csr", text))
    refused = desk("issue", "@office", "@request", "--out", "@grants", code=2)["error"]
    assert refused["code"] == "FMRG-6602"  # type: ignore[index]
    assert refused["location"] == str(tmp_path / "request")  # type: ignore[index]
    grant = json.loads((tmp_path / "grants" / "spain.grant.json").read_bytes())
    (tmp_path / "grant").write_bytes(with_value(grant, "roster", text))
    refused = desk("install", "@spain", "@grant", code=2)["error"]
    assert refused["code"] == "FMRG-6602"  # type: ignore[index]
