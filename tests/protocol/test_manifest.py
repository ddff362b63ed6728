import json
from pathlib import Path

import pytest

from fedmrg_secure.protocol.errors import InvalidManifest
from fedmrg_secure.protocol.manifest import SessionManifest
from tests.coordinator.drills import make_manifest

MANIFEST = make_manifest("ab" * 32)
VALUE = json.loads(MANIFEST.to_bytes())


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_a_manifest_survives_file_and_wire(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    MANIFEST.write(path)
    assert SessionManifest.read(path) == MANIFEST
    assert SessionManifest.from_bytes(MANIFEST.to_bytes()).session_id == MANIFEST.session_id
    assert MANIFEST.sites == ("alpha", "beta", "gamma")


def other_text(value: str) -> str:
    """The same with another first character."""
    return ("8" if value[0] == "9" else "9") + value[1:]


@pytest.mark.parametrize("name", sorted(VALUE.keys() - {"round_keys", "colluders"}))
def test_every_term_is_in_the_identifier(name: str) -> None:
    changed: dict[str, object] = {
        "version": 1,
        "shared_key": True,
        "certificate": "unanimous",
        "scheme_parameters": {"other": 1},
        "weights": {"alpha": 2, "beta": 2, "gamma": 2},
        "weighting": "uniform",
        "clip_norm": "2",
    }
    value = changed.get(name, VALUE[name])
    if name not in changed:
        value = value + 1 if isinstance(value, int) else other_text(value)
    other = SessionManifest(**{**VALUE, name: value})
    assert (other.session_id == MANIFEST.session_id) == (name == "version")


def with_round_keys(**changes: object) -> SessionManifest:
    sites = dict.fromkeys((f"site-{number}" for number in range(5)), 1)
    terms = {"round_keys": True, "colluders": 1, "min_sites": 3, "weights": sites, **changes}
    return SessionManifest(**{**VALUE, **terms})


def test_the_terms_of_round_keys_are_in_the_identifier() -> None:
    made = [
        with_round_keys(round_keys=False, colluders=0),
        with_round_keys(min_sites=4),
        with_round_keys(min_sites=4, colluders=2),
        with_round_keys(min_sites=2, colluders=0),
        with_round_keys(min_sites=4, certificate="unanimous"),
    ]
    assert len({manifest.session_id for manifest in made}) == len(made)
    for manifest in made:
        assert SessionManifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"round_keys": False}, "does not fit"),
        ({"colluders": -1}, "does not fit"),
        ({"colluders": 10_001}, "does not fit"),
        ({"shared_key": True}, "not both"),
        ({"min_sites": 2}, "cannot withstand"),  # of two sites one colluder knows the other's
        ({"min_sites": 1, "colluders": 0}, "cannot withstand"),
        ({"colluders": 2}, "cannot withstand"),
        ({"certificate": "majority"}, "certificate"),
        ({"weights": {f"s{number}": 1 for number in range(1025)}}, "at most 1024 sites"),
    ],
    ids=str,
)
def test_terms_of_round_keys_that_protect_nothing_are_refused(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidManifest, match=said):
        with_round_keys(**changes)


@pytest.mark.parametrize("name", sorted(VALUE))
def test_no_term_may_be_missing(name: str) -> None:
    value = {key: item for key, item in VALUE.items() if key != name}
    with pytest.raises(InvalidManifest, match="missing"):
        SessionManifest.from_bytes(canonical(value))


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"version": 2},
        {"rounds": 0},
        {"rounds": True},
        {"rounds": "2"},
        {"rounds": 2.0},
        {"nonce": "AB" * 32},
        {"nonce": "ab"},
        {"clip_norm": "nan"},
        {"clip_norm": "-1"},
        {"clip_norm": "1e9"},
        {"clip_norm": 1},
        {"weighting": "secret"},
        {"weights": {"alpha": 0, "beta": 1}},
        {"weights": {"alpha": 1.5, "beta": 1}},
        {"weights": {"../alpha": 1, "beta": 1}},
        {"weights": {"coordinator": 1, "beta": 1}},
        {"weights": {"alpha": 1}},
        {"name": ""},
        {"shared_key": 1},
        {"scheme_parameters": {"real": 0.5}},
        {"min_sites": 0},
    ],
    ids=str,
)
def test_bad_terms_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidManifest):
        SessionManifest.from_bytes(canonical({**VALUE, **changes}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 5000,
        MANIFEST.to_bytes() + b"\n",
        MANIFEST.to_bytes().replace(b'":', b'": ', 1),
        MANIFEST.to_bytes()[:-1] + b',"version":1}',
    ],
    ids=["empty", "array", "null", "torn", "binary", "deep", "newline", "space", "repeated"],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidManifest):
        SessionManifest.from_bytes(data)
