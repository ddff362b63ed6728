"""Rules of the whole house, checked on the source itself."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmrg_secure.benchmark.sweep_file import load_sweep
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.yaml_source import dump_run_config, load_run_config

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fedmrg_secure"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "v1" not in path.parts]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))

UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.load",
    "torch.jit.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
    "ssl._create_unverified_context",
}
INSECURE_TRANSPORT = {"insecure_channel", "add_insecure_port"}
FORBIDDEN_ARGUMENTS = {
    ("trust_remote_code", True),
    ("allow_pickle", True),
    ("weights_only", False),
    ("shell", True),
    ("verify", False),
}
DYNAMIC_IMPORTS = {"importlib.import_module", "import_module", "pydoc.locate"}


def violations(tree: ast.AST) -> Iterator[str]:
    """Everything in a module that could run code which came as data, or talk in the clear."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").partition(".")[0]]
        else:
            names = []
        yield from (
            f"line {node.lineno}: imports {name}" for name in names if name in UNSAFE_MODULES
        )
        if isinstance(node, ast.Attribute) and node.attr in INSECURE_TRANSPORT:
            yield f"line {node.lineno}: {node.attr}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in UNSAFE_CALLS:
            yield f"line {node.lineno}: calls {called}"
        if called in DYNAMIC_IMPORTS and not all(
            isinstance(arg, ast.Constant) for arg in node.args
        ):
            yield f"line {node.lineno}: imports a module by a computed name"
        for keyword in node.keywords:
            value = keyword.value
            if (
                isinstance(value, ast.Constant)
                and (keyword.arg, value.value) in FORBIDDEN_ARGUMENTS
            ):
                yield f"line {node.lineno}: {keyword.arg}={value.value}"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "torch.load(path)",
        "yaml.load(text, Loader=Loader)",
        "eval(text)",
        "exec(text)",
        "importlib.import_module(name)",
        "np.load(path, allow_pickle=True)",
        "grpc.insecure_channel(target)",
        "server.add_insecure_port(address)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_the_detector_detects(code: str) -> None:
    assert list(violations(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    ["yaml.safe_load(text)", "model.eval()", "importlib.import_module('gguf')", "re.compile(x)"],
)
def test_the_detector_lets_safe_code_pass(code: str) -> None:
    assert not list(violations(ast.parse(code)))


def test_no_code_can_come_as_data_and_no_transport_is_in_the_clear() -> None:
    found = [
        f"{path.relative_to(ROOT)} {violation}"
        for path in SOURCES
        for violation in violations(ast.parse(path.read_text(encoding="utf-8")))
    ]
    # The one exception: weights of installed packages, whose hashes are pinned there.
    assert [each.split(" line ")[0] for each in found] == ["fedmrg_secure/model/pretrained.py"]
    assert found[0].endswith("calls torch.load")


def test_the_one_pickle_that_is_read_runs_no_code_and_has_a_pinned_hash() -> None:
    tree = ast.parse((PACKAGE / "model" / "pretrained.py").read_text(encoding="utf-8"))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    for call in calls:
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords["weights_only"] == "True"
    assert "check_sha256(source, sha256)" in ast.unparse(tree)


def test_json_of_others_is_read_strictly() -> None:
    """`json.loads` lets through what cannot be hashed, and ends in a `RecursionError`."""
    found = [
        str(path.relative_to(PACKAGE))
        for room in ("crypto", "protocol", "provisioning", "audit_log")
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if "json.load" in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_modules_are_small() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) < 200


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_nothing_is_left_for_later_or_bound_to_one_machine() -> None:
    # Spelled in parts, so that this file does not find itself.
    marks = re.compile(
        "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b(?!X)", "/wo" + "rk/", "/ro" + "ot/"])
    )
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    found = [
        f"{name}:{number}"
        for name in tracked
        if (ROOT / name).suffix in {".py", ".md", ".toml", ".yaml", ".proto", ".txt", ""}
        and name != "LICENSE"
        and (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


def test_the_page_about_the_configuration_is_what_the_models_say() -> None:
    done = subprocess.run(
        [sys.executable, "tools/config_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_key_of_the_configuration_says_what_it_means() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    silent = re.findall(r"^\| `(\w+)` .*\|  \|$", page, re.MULTILINE)
    assert set(silent) <= {
        "name",
        "source",
        *RunConfig.model_fields,
        "splits",
        "columns",
        "augmentation",
    }


def test_noise_can_be_repeated_in_broken_mechanisms_alone() -> None:
    using = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        if "insecure_from_key" in path.read_text(encoding="utf-8")
    }
    assert using == {"privacy/randomness.py", "privacy_audit/mutants.py"}


def test_broken_mechanisms_can_be_reached_by_their_audit_alone() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        if "privacy_audit" in path.read_text(encoding="utf-8") and "privacy_audit" not in path.parts
    }
    assert importing == {"cli/audit.py"}


def test_error_codes_are_unique_and_the_page_lists_them() -> None:
    done = subprocess.run(
        [sys.executable, "tools/error_table.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codes = re.findall(
        r"^\| (FMRG-\d{4}) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE
    )
    assert [code for code, count in Counter(codes).items() if count > 1] == []
    assert len(codes) > 50


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads_and_dumps(path: Path, tmp_path: Path) -> None:
    config = load_run_config(path)
    assert isinstance(config, RunConfig)
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_run_config(config), encoding="utf-8")
    assert load_run_config(copy) == config


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_shipped_sweep_has_sound_points(path: Path) -> None:
    sweep = load_sweep(path)
    assert len(sweep.points) > 1


def test_the_sweep_of_privacy_compares_equal_models_over_equal_rounds() -> None:
    sweep = load_sweep(ROOT / "configs" / "sweeps" / "privacy_utility.yaml")
    configs = [config for point in sweep.points for config in point.configs]
    assert len(configs) == 15
    assert [point.settings["epsilon"] for point in sweep.points] == ["inf", "8", "4", "2", "1"]
    assert {config.privacy.target_epsilon if config.privacy else None for config in configs} == {
        None,
        *(8.0, 4.0, 2.0, 1.0),
    }
    assert {(c.privacy.unit, c.privacy.delta) for c in configs if c.privacy} == {("patient", 1e-5)}
    for compared in ("data", "model", "evaluation"):
        assert len({getattr(config, compared).model_dump_json() for config in configs}) == 1
    # Rounds cost bytes: the plain training has as many, and steps and rates of its own.
    assert len({config.training.rounds for config in configs}) == 1


def test_there_are_shipped_configurations() -> None:
    assert CONFIGS
    assert SWEEPS


def test_the_coordinator_loads_nothing_that_could_open_an_update() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in ("coordinator", "protocol")
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if "migrations" not in path.parts
    ]
    forbidden = ["torch", "transformers", "peft", "opacus", "tenseal"] + [
        f"fedmrg_secure.{room}"
        for room in (
            "data",
            "model",
            "training",
            "update",
            "privacy",
            "crypto.schemes",
            "crypto.tenseal_shared",
            "crypto.plaintext",
            "crypto.multiparty",
        )
    ]
    script = (
        f"import importlib, sys\n"
        f"for name in {names} + ['fedmrg_secure.cli.main', 'fedmrg_secure.cli.coordinator']:\n"
        f"    importlib.import_module(name)\n"
        f"print([name for name in {forbidden} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
