"""Writes docs/errors.md from the error classes in the source; with --check only compares.

The source is read, not imported: the table needs no installed package.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fedmrg_secure"
PAGE = ROOT / "docs" / "errors.md"

HEAD = """\
# Error codes

Every error that `fedmrg` raises on purpose has a code that keeps its meaning. Exit code 2: the
input was wrong, and nothing was started. Exit code 1: the work failed. The first digit says where
to look:

| codes | about |
|---|---|
| 0xxx | every command |
| 1xxx | configuration, names, command line |
| 2xxx | data |
| 3xxx | model and training |
| 4xxx | update, cryptography, differential privacy |
| 5xxx | protocol and coordinator |
| 6xxx | site, federation, run folder |
| 7xxx | log |
| 8xxx | this machine |

This page is written by `make docs` from the classes themselves; a test compares it.
"""


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """An error class as the source declares it; `code` is empty where a base class sets it."""

    name: str
    module: str
    bases: tuple[str, ...]
    code: str
    meaning: str


def declared_errors() -> list[ErrorClass]:
    """All classes of the package below `FedmrgError`, in the order of their codes."""
    found = [
        each
        for path in sorted(PACKAGE.rglob("*.py"))
        if "v1" not in path.parts
        for each in _classes(path)
    ]
    by_name = {each.name: each for each in found}
    errors = [each for each in found if is_below(each, "FedmrgError", by_name)]
    return sorted(errors, key=lambda each: (each.code, each.module, each.name))


def is_below(found: ErrorClass, ancestor: str, classes: dict[str, ErrorClass]) -> bool:
    """Whether a class is `ancestor` or inherits from it."""
    if found.name == ancestor:
        return True
    return any(
        base in classes and is_below(classes[base], ancestor, classes) for base in found.bases
    )


def page() -> str:
    """The text of docs/errors.md."""
    errors = declared_errors()
    by_name = {each.name: each for each in errors}
    rows = [
        f"| {each.code} | `{each.name}` | `{each.module}` "
        f"| {2 if is_below(each, 'InputError', by_name) else 1} | {each.meaning} |"
        for each in errors
        if each.code
    ]
    table = ["| code | class | module | exit | meaning |", "|---|---|---|---|---|", *rows]
    return HEAD + "\n" + "\n".join(table) + "\n"


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/errors.md is not what the source says: run make docs\n")
    return 1


def _classes(path: Path) -> list[ErrorClass]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    return [
        ErrorClass(
            name=node.name,
            module=module,
            bases=tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases),
            code=_code(node),
            meaning=(ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " "),
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]


def _code(node: ast.ClassDef) -> str:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            target = statement.target
        elif isinstance(statement, ast.Assign):
            target = statement.targets[0]
        else:
            continue
        value = statement.value
        if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
            return str(value.value)
    return ""


if __name__ == "__main__":
    sys.exit(main())
