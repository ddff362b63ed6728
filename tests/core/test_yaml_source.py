from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedmrg_secure.core.config import ManifestData, PhantomData, RunConfig
from fedmrg_secure.core.config_section import Section
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError
from fedmrg_secure.core.yaml_source import (
    Change,
    dump_run_config,
    load_model,
    load_run_config,
)
from fedmrg_secure.core.yaml_tree import read_text

GOOD = """\
name: ward
data:
  source: phantom
secure_aggregation:
  scheme: ckks-shared
  acknowledge_collusion_risk: true
"""


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("ward.yaml")
    path.write_text(GOOD)
    return path


def mistakes(path: Path, *overrides: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ErrorGroup) as caught:
        load_run_config(path, overrides)
    return [(error.location, error.code, error.message) for error in caught.value.errors]


def test_a_small_file_gets_all_defaults(config_file: Path) -> None:
    config = load_run_config(config_file)
    assert config.name == "ward"
    assert isinstance(config.data, PhantomData)
    assert config.training.rounds == RunConfig.model_fields["training"].default.rounds


def test_the_errors_read_as_the_style_guide_shows(config_file: Path) -> None:
    config_file.write_text(GOOD + "training:\n  local_stpes: 3\n  learning_rate: -1e-2\n")
    with pytest.raises(ErrorGroup) as caught:
        load_run_config(config_file)
    assert caught.value.exit_code == 2
    assert caught.value.explain() == (
        "ward.yaml:8:3  FMRG-1004  training.local_stpes is not a known key\n"
        "    did you mean local_steps?\n"
        "ward.yaml:9:18  FMRG-1007  training.learning_rate must be above 0, got -1e-2\n"
        "    of everything but LoRA\n"
        "2 errors; nothing was started."
    )


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("seed: 1.5", "7:7", "FMRG-1006"),
        ("seed: '1'", "7:7", "FMRG-1006"),
        ("seed: true", "7:7", "FMRG-1006"),
        ("seed: -1", "7:7", "FMRG-1007"),
        ("training: 3", "7:11", "FMRG-1006"),
        ("training:", "7:10", "FMRG-1006"),
        ("training: {rounds: yes}", "7:20", "FMRG-1009"),
        ("model: {classes: []}", "7:18", "FMRG-1007"),
        ("model: {decoder: 7}", "7:18", "FMRG-1006"),
        ("update: {factorization: fa}", "7:25", "FMRG-1008"),
        ("federation: {sites: [a, 3]}", "7:25", "FMRG-1006"),
        ("learning_rate: 1", "7:1", "FMRG-1004"),
    ],
)
def test_each_mistake_has_one_error_at_its_place(
    config_file: Path, text: str, place: str, code: str
) -> None:
    config_file.write_text(GOOD + text + "\n")
    assert [found[:2] for found in mistakes(config_file)] == [(f"ward.yaml:{place}", code)]


def test_the_chosen_data_source_decides_which_keys_are_known(config_file: Path) -> None:
    config_file.write_text(GOOD.replace("source: phantom", "source: phantom\n  root: x"))
    assert mistakes(config_file) == [("ward.yaml:4:3", "FMRG-1004", "data.root is not a known key")]
    config_file.write_text(GOOD.replace("source: phantom", "source: phantm"))
    assert mistakes(config_file) == [
        (
            "ward.yaml:3:11",
            "FMRG-1008",
            "data.source must be 'phantom', 'manifest', 'iu-xray', 'mimic-cxr', got 'phantm'",
        )
    ]
    config_file.write_text(GOOD.replace("source: phantom", "seed: 3"))
    assert mistakes(config_file) == [("ward.yaml:2:1", "FMRG-1005", "data.source is missing")]


def test_errors_of_both_forms_of_a_union_are_one(config_file: Path) -> None:
    manifest = "source: manifest\n  root: x\n  participating: [a, b]\n  unseen: all"
    config_file.write_text(GOOD.replace("source: phantom", manifest))
    assert mistakes(config_file) == [
        (
            "ward.yaml:6:11",
            "FMRG-1006",
            "data.unseen must be a list or 'rest' or 'none', got 'all'",
        )
    ]


def test_a_misspelt_required_section_is_one_error_and_still_read(config_file: Path) -> None:
    config_file.write_text(
        GOOD.replace("secure_aggregation", "secure_agregation") + "  rotate_after: 0\n"
    )
    found = mistakes(config_file)
    assert [(place, code) for place, code, _ in found] == [
        ("ward.yaml:4:1", "FMRG-1004"),
        ("ward.yaml:7:17", "FMRG-1007"),
    ]


def test_checks_between_sections_are_shown_together_with_simple_mistakes(config_file: Path) -> None:
    config_file.write_text(
        "name: ward\n"
        "nmae: ward\n"
        "data:\n  source: manifest\n  root: x\n  participating: [A, B]\n  splits: {train: 0.9}\n"
        "secure_aggregation: {scheme: insecure-plaintext}\n"
        "federation: {min_sites: 3, sites: [A, B]}\n"
    )
    assert [(place, code) for place, code, _ in mistakes(config_file)] == [
        ("ward.yaml:2:1", "FMRG-1004"),
        ("ward.yaml:7:11", "FMRG-1011"),
        ("ward.yaml:8:30", "FMRG-1011"),
        ("ward.yaml:9:25", "FMRG-1011"),
    ]


def test_duplicates_and_model_errors_come_in_the_order_of_the_file(config_file: Path) -> None:
    config_file.write_text(GOOD + "seed: -1\nname: ward\ntraining: {rounds: 0}\n")
    assert [code for _, code, _ in mistakes(config_file)] == ["FMRG-1007", "FMRG-1003", "FMRG-1007"]


def test_overrides_replace_and_create(config_file: Path) -> None:
    config = load_run_config(
        config_file,
        [
            "training.rounds=2",
            "training.rounds=3",
            "update.clip_norm=1e1",
            "federation.sites=[a, b, c]",
        ],
    )
    assert (config.training.rounds, config.update.clip_norm) == (3, 10.0)
    assert config.federation.sites == ["a", "b", "c"]


def test_an_override_may_replace_a_whole_section(config_file: Path) -> None:
    config = load_run_config(
        config_file, ["data={source: manifest, root: ../x, participating: [a, b]}"]
    )
    assert isinstance(config.data, ManifestData)
    assert config.data.root == Path("../x")


def test_wrong_overrides_name_themselves(config_file: Path) -> None:
    found = mistakes(
        config_file,
        "training.ronds=2",
        "trainig.rounds=2",
        "seed=x",
        "nonsense",
        "name.first=x",
        "update.alpha=[1",
        "model.beams=no",
    )
    assert {(place, code) for place, code, _ in found} == {
        ("--set training.ronds", "FMRG-1004"),
        ("--set trainig.rounds", "FMRG-1004"),
        ("--set seed", "FMRG-1006"),
        ("--set", "FMRG-1012"),
        ("--set name.first", "FMRG-1012"),
        ("--set update.alpha", "FMRG-1012"),
        ("--set model.beams", "FMRG-1009"),
    }


def test_an_override_can_mend_the_file(config_file: Path) -> None:
    config_file.write_text(GOOD + "seed: x\n")
    assert load_run_config(config_file, ["seed=4"]).seed == 4


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"a: [", b"- 1", b""])
def test_unreadable_files_are_input_errors(config_file: Path, content: bytes | None) -> None:
    config_file.unlink() if content is None else config_file.write_bytes(content)
    found = mistakes(config_file)
    assert all(place.startswith("ward.yaml") for place, _, _ in found)


def test_a_byte_order_mark_is_no_part_of_the_first_key(config_file: Path) -> None:
    config_file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_run_config(config_file).name == "ward"


words = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12
) | st.sampled_from(
    ["yes", "1e-5", "1", "null", "010", "#", "a: b", "- x", "&a", "*b", "!t", " ", "\n"]
)
names = st.text(string.ascii_lowercase, min_size=3, max_size=8)


@st.composite
def configurations(draw: st.DrawFn) -> RunConfig:
    participating = [f"{draw(names)}{index}" for index in range(draw(st.integers(2, 4)))]
    data: dict[str, Any] = draw(
        st.one_of(
            st.builds(lambda seed: {"source": "phantom", "seed": seed}, st.integers(0, 10**12)),
            st.fixed_dictionaries(
                {
                    "source": st.just("manifest"),
                    "root": words,
                    "participating": st.just(participating),
                    "unseen": st.sampled_from(["rest", "none", ["elsewhere"]]),
                    "where": st.dictionaries(words, st.lists(words, max_size=2), max_size=2),
                    "columns": st.fixed_dictionaries({"report": words, "split": st.none() | words}),
                }
            ),
            st.fixed_dictionaries(
                {
                    "source": st.sampled_from(["iu-xray", "mimic-cxr"]),
                    "root": words,
                    "centres": st.none()
                    | st.fixed_dictionaries(
                        {"column": words, "participating": st.just(participating)}
                    ),
                    "pseudo_centres": st.fixed_dictionaries({"alpha": st.floats(0.05, 1000)}),
                    "sections": st.permutations(["findings", "impression"]),
                }
            ),
        )
    )
    positive = st.floats(1e-300, 1e300)
    return RunConfig.model_validate(
        {
            "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)),
            "data": data,
            "model": {"decoder": draw(words), "max_report_tokens": draw(st.integers(8, 1024))},
            "training": {"learning_rate": draw(positive), "rounds": draw(st.integers(1, 10**6))},
            "update": {"clip_norm": draw(positive)},
            "secure_aggregation": {"acknowledge_collusion_risk": True, "max_error": draw(positive)},
        }
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configurations())
def test_a_dumped_configuration_loads_back_equal(tmp_path: Path, config: RunConfig) -> None:
    path = tmp_path / "dump.yaml"
    path.write_text(dump_run_config(config), encoding="utf-8")
    assert load_run_config(path) == config


@pytest.mark.parametrize("odd", ["\x85", "a\u2028b", "a\nb", "\ufeff", "\x07"])
def test_text_that_yaml_would_fold_is_dumped_in_quotes(tmp_path: Path, odd: str) -> None:
    config = RunConfig.model_validate(
        {
            "name": "ward",
            "data": {"source": "phantom"},
            "model": {"decoder": odd},
            "secure_aggregation": {"acknowledge_collusion_risk": True},
        }
    )
    path = tmp_path / "dump.yaml"
    path.write_text(dump_run_config(config), encoding="utf-8")
    assert load_run_config(path) == config


FULL = dump_run_config(
    RunConfig.model_validate(
        {
            "name": "ward",
            "data": {"source": "manifest", "root": "x", "participating": ["A", "B"]},
            "secure_aggregation": {"acknowledge_collusion_risk": True},
        }
    )
).splitlines()
ODD_VALUES = [
    *("null", "[]", "{}", '"\\ud800"', "yes", "-1", "1e999", "[1, [2]]", "{a: {b: 1}}", "*x"),
    *("&a 1", "!!int 3", '""', "x: y", "\t", "true", "9" * 400, '"\\0"', "? ", "- ", "[", "\u2028"),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FULL) - 1),
            st.sampled_from(["value", "drop", "repeat", "indent", "append"]),
            st.sampled_from(ODD_VALUES),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_file_gives_a_configuration_or_placed_errors(
    tmp_path: Path, damages: list[tuple[int, str, str]]
) -> None:
    lines = list(FULL)
    for index, damage, value in damages:
        line = lines[index]
        lines[index] = {
            "value": f"{line.partition(':')[0]}: {value}",
            "drop": "",
            "repeat": f"{line}\n{line}",
            "indent": f"  {line}",
            "append": line + value,
        }[damage]
    path = tmp_path / "damaged.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    errors: tuple[FedmrgError, ...] = ()
    try:
        load_run_config(path)
    except ErrorGroup as group:
        errors = group.errors
    assert all(error.location.startswith(str(path)) for error in errors)
    assert len({(error.location, error.message) for error in errors}) == len(errors)


def changes(text: str) -> list[Change]:
    """The keys of another file, ``more.yaml``."""
    root, errors = read_text(text, "more.yaml")
    assert not errors
    assert isinstance(root.value, dict)
    return [Change(key, entry) for key, entry in root.value.items()]


def test_a_change_from_another_file_comes_after_the_overrides(config_file: Path) -> None:
    config = load_run_config(
        config_file, ["training.rounds=2", "update.rank=2"], changes("training.rounds: 3\n")
    )
    assert (config.training.rounds, config.update.rank) == (3, 2)


def test_a_mistake_of_a_change_is_shown_where_it_stands(config_file: Path) -> None:
    wrong = "training.rounds: 0\ntrainig.rounds: 2\nname.first: x\nupdate.rnak: 4\n"
    with pytest.raises(ErrorGroup) as caught:
        load_run_config(config_file, (), changes(wrong))
    assert {(error.location, error.code) for error in caught.value.errors} == {
        ("more.yaml:1:18", "FMRG-1007"),
        ("more.yaml:2:1", "FMRG-1004"),
        ("more.yaml:3:1", "FMRG-1012"),
        ("more.yaml:4:1", "FMRG-1004"),
    }


class Inner(Section):
    name: str
    size: int = 1


class Outer(Section):
    name: str
    parts: tuple[Inner, ...] = ()


def test_a_file_of_another_kind_is_read_as_strictly(config_file: Path) -> None:
    config_file.write_text("name: x\nparts:\n  - {name: a}\n  - {name: b, size: 2}\n")
    content, root = load_model(config_file, Outer)
    assert [part.size for part in content.parts] == [1, 2]
    assert root.plain() == {"name": "x", "parts": [{"name": "a"}, {"name": "b", "size": 2}]}


def test_mistakes_inside_a_list_are_told_once_and_in_its_own_words(config_file: Path) -> None:
    config_file.write_text("nmae: x\nparts:\n  - {name: a, sise: 2}\n  - {size: two}\n")
    with pytest.raises(ErrorGroup) as caught:
        load_model(config_file, Outer)
    assert [(e.location, e.message, e.hint) for e in caught.value.errors] == [
        ("ward.yaml:1:1", "nmae is not a known key", "did you mean name?"),
        ("ward.yaml:3:15", "parts[0].sise is not a known key", "did you mean size?"),
        ("ward.yaml:4:5", "parts[1].name is missing", ""),
        ("ward.yaml:4:12", "parts[1].size must be a whole number, got 'two'", ""),
    ]
