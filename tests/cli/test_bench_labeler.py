from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmrg_secure.cli.main import run_command


def test_the_table_of_a_small_collection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("Rib fracture.", ["Fractures, Bone/ribs"]), ("Possible edema.", ["normal"])]
    file = tmp_path / "reports.jsonl"
    file.write_text(
        "".join(
            json.dumps({"study_id": n, "findings": text, "impression": "", "mesh_major": terms})
            + "\n"
            for n, (text, terms) in enumerate(rows)
        )
    )
    assert run_command(["bench", "labeler", "--reports", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reports"] == 2
    by_class = {row["class"]: row for row in found["rows"]}
    assert by_class["Fracture"]["precision"] == by_class["Fracture"]["recall"] == 1
    assert (by_class["Edema"]["indexed"], by_class["Edema"]["precision"]) == (0, 0)


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "labeler", "--reports", str(tmp_path / "none.jsonl")]) == 2
    assert "FMRG-2902" in capsys.readouterr().err
