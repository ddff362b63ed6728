"""The process of the clinical metrics: real processes; radeval's own models need a hub.

Where radeval is not installed, as here, the real worker says so. Its other answers come from a
small stand-in for the modules `radeval` and `torch` that real interpreters import; it has no model
and loads at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fedmrg_secure.evaluation.clinical_models import (
    ClinicalModels,
    ClinicalModelsFailed,
    ClinicalModelsMissing,
)

STAND_IN = """
import sys
print("a library talks on stdout")

class RadEval:
    def __init__(self, metrics, detailed, show_progress):
        from RadEval.metrics.f1chexbert import F1CheXbert
        assert metrics == ["f1chexbert", "radgraph"] and detailed and not show_progress
{load}

    def __call__(self, refs, hyps):
        print("and talks again")
{score}
"""


def interpreter(folder: Path, *, load: str = "pass", score: str = "return {}") -> Path:
    """An interpreter that imports the stand-in instead of radeval."""
    code = STAND_IN.format(load=f"        {load}", score=f"        {score}")
    (folder / "torch.py").write_text("class cuda:\n    is_available = staticmethod(bool)\n")
    (folder / "radeval" / "metrics").mkdir(parents=True)
    (folder / "radeval" / "__init__.py").write_text(code)
    (folder / "radeval" / "metrics" / "__init__.py").touch()
    (folder / "radeval" / "metrics" / "f1chexbert.py").write_text(
        "class F1CheXbert:\n    def __init__(self, *, device='cuda'):\n        pass\n"
    )
    (folder / "radeval-9.9.dist-info").mkdir()
    (folder / "radeval-9.9.dist-info" / "METADATA").write_text("Name: radeval\nVersion: 9.9\n")
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


def test_an_interpreter_without_radeval_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The project's own interpreter, with this folder's name hidden from it."""
    if any((Path(place) / "radeval").is_dir() for place in sys.path):
        pytest.skip("radeval is installed here")
    with pytest.raises(ClinicalModelsMissing, match="cannot import radeval") as error:
        ClinicalModels(Path(sys.executable))
    assert "pip install" in error.value.hint
    assert error.value.exit_code == 2


def test_a_file_that_is_no_interpreter_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClinicalModelsMissing, match="cannot start"):
        ClinicalModels(tmp_path / "no-python")


def test_missing_weights_are_told_with_the_hub_off(tmp_path: Path) -> None:
    load = "import os; raise OSError('hub is off: ' + os.environ['HF_HUB_OFFLINE'])"
    python = interpreter(tmp_path, load=load)
    with pytest.raises(ClinicalModelsMissing, match=r"weights.*hub is off: 1") as error:
        ClinicalModels(python)
    assert "allow_hub" in error.value.hint
    with pytest.raises(ClinicalModelsMissing, match="hub is off: 0"):
        ClinicalModels(python, allow_hub=True)


def test_scores_come_back_whatever_a_library_prints(tmp_path: Path) -> None:
    score = (
        "return {'pairs': len(refs) / 10, 'same': float(refs == hyps), 'labels': {'a': 1}, "
        "'undefined': float('nan')}"
    )
    with ClinicalModels(interpreter(tmp_path, score=score)) as scorer:
        assert scorer.version == "9.9"
        assert scorer(["No œdema."], ["No œdema."]) == {"pairs": 0.1, "same": 1.0}
        assert scorer(["a\nb", "c"], ["a\nb", "d"]) == {"pairs": 0.2, "same": 0.0}


def test_what_wraps_a_word_of_the_hub_is_missing_weights(tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("class NotThere(Exception):\n    pass\n")
    load = "import huggingface_hub; raise Exception('no file') from huggingface_hub.NotThere()"
    with pytest.raises(ClinicalModelsMissing, match="weights"):
        ClinicalModels(interpreter(tmp_path, load=load))


def test_a_failure_says_its_kind_and_no_word_of_a_report(tmp_path: Path) -> None:
    python = interpreter(tmp_path, score="raise ValueError('cannot read ' + hyps[0])")
    with (
        ClinicalModels(python) as scorer,
        pytest.raises(ClinicalModelsFailed, match="ValueError") as error,
    ):
        scorer(["secret words"], ["secret words"])
    assert "secret" not in error.value.explain()


def test_a_process_that_breaks_off_is_told(tmp_path: Path) -> None:
    python = interpreter(tmp_path, score="import os; os._exit(7)")
    with (
        ClinicalModels(python) as scorer,
        pytest.raises(ClinicalModelsFailed, match="status 7"),
    ):
        scorer(["a"], ["b"])


def test_a_process_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    python = interpreter(tmp_path, load="import time; time.sleep(600)")
    with pytest.raises(ClinicalModelsFailed, match=r"within 0.5 s"):
        ClinicalModels(python, timeout_s=0.5)


def test_the_process_ends_with_its_scorer(tmp_path: Path) -> None:
    with ClinicalModels(interpreter(tmp_path)) as scorer:
        number = scorer._process.pid
        os.kill(number, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
