"""A new centre adapts: its own part is trained, all that is shared stays, patients stay apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.data.records import CentreData
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.federation.adaptation import (
    Adaptation,
    NoSpecializedAdapter,
    TooFewPatients,
    adapt_centre,
    hash_shared,
    own_splits,
    require_dual,
)
from fedmrg_secure.federation.adapted_folder import (
    AdaptedFolderBroken,
    AdaptedFolderInUse,
    AdaptedToAnother,
    read_adapted,
    write_adapted,
)
from fedmrg_secure.federation.new_centre import CentreTookPart, DataNotFound, load_new_centre
from fedmrg_secure.federation.states import PRIVATE, StateUnreadable
from fedmrg_secure.model.adapters import ReadingPath
from fedmrg_secure.model.report_generator import ReportGenerator
from tests.fixtures.trained_run import CONFIG, SITES, UNSEEN, build

TRAINING = CONFIG.training.model_copy(update={"local_steps": 3, "batch_size": 4})


@pytest.fixture(scope="module")
def centre() -> CentreData:
    torch.set_num_threads(1)
    data = CONFIG.data.model_copy(update={"patients_per_unseen_centre": 12})
    return own_splits(load_centre(data, UNSEEN), data.seed)


@pytest.fixture(scope="module")
def shared() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        name: value + random.normal(0, 0.02, value.shape).astype(np.float32)
        for name, value in build().shared_state().items()
    }


def model(shared: dict[str, np.ndarray]) -> ReportGenerator:
    generator = build()
    generator.load_shared_state(shared)
    return generator


def adapt(generator: ReportGenerator, centre: CentreData, *, most_steps: int = 6) -> Adaptation:
    return adapt_centre(
        generator, centre, TRAINING, image_size=32, seed=CONFIG.seed, most_steps=most_steps
    )


@pytest.fixture(scope="module")
def adapted(
    shared: dict[str, np.ndarray], centre: CentreData
) -> tuple[ReportGenerator, Adaptation]:
    generator = model(shared)
    return generator, adapt(generator, centre)


def test_only_the_specialized_part_changes(
    adapted: tuple[ReportGenerator, Adaptation], shared: dict[str, np.ndarray]
) -> None:
    generator, adaptation = adapted
    for name, value in generator.shared_state().items():
        assert np.array_equal(value, shared[name]), name
    assert adaptation.shared_hash == hash_shared(model(shared))
    start, own = build().specialized_state(), generator.specialized_state()
    assert any(not np.array_equal(own[name], start[name]) for name in own if ".adapter." in name)
    assert float(generator.mix) == adaptation.chosen.mix > 0


def test_the_validation_chooses(adapted: tuple[ReportGenerator, Adaptation]) -> None:
    _, adaptation = adapted
    assert [tried.steps for tried in adaptation.tried] == [0, 3, 6]
    assert adaptation.chosen == min(adaptation.tried, key=lambda tried: tried.loss)
    assert adaptation.chosen.loss < adaptation.tried[0].loss
    assert adaptation.before["diagnosis_f1_macro"] == adaptation.after["diagnosis_f1_macro"]
    assert adaptation.differences["bleu1"].difference == pytest.approx(
        adaptation.after["bleu1"] - adaptation.before["bleu1"]
    )


def test_it_is_the_same_in_every_call(
    adapted: tuple[ReportGenerator, Adaptation],
    shared: dict[str, np.ndarray],
    centre: CentreData,
) -> None:
    generator = model(shared)
    assert adapt(generator, centre) == adapted[1]
    own, again = adapted[0].specialized_state(), generator.specialized_state()
    assert all(np.array_equal(own[name], again[name]) for name in own)


def test_training_that_does_not_help_leaves_the_generic_path(
    shared: dict[str, np.ndarray], centre: CentreData
) -> None:
    """Learning other texts than the ones to choose by: the validation keeps the shared model."""
    nonsense = tuple(replace(r, report="zzz qqq xxx " * 5) for r in centre.train)
    adaptation = adapt(model(shared), replace(centre, train=nonsense), most_steps=30)
    assert adaptation.chosen.mix == 0
    assert adaptation.before == adaptation.after
    assert len(adaptation.tried) == 1 + 4  # patience ends it before the 30 steps


def test_patients_are_never_on_two_sides(centre: CentreData) -> None:
    sides = [{r.patient_id for r in s} for s in (centre.train, centre.validation, centre.test)]
    assert sum(len(side) for side in sides) == len(set.union(*sides)) == 12
    whole = load_centre(CONFIG.data.model_copy(update={"patients_per_unseen_centre": 12}), UNSEEN)
    assert own_splits(whole, CONFIG.data.seed) == centre
    reordered = replace(whole, test=whole.test[::-1])
    again = own_splits(reordered, CONFIG.data.seed)
    assert {r.record_id for r in again.train} == {r.record_id for r in centre.train}


def test_own_splits_stay_and_too_few_patients_are_told(centre: CentreData) -> None:
    given = load_centre(CONFIG.data, SITES[0])
    assert own_splits(given, 1) == given
    patient = centre.test[0].patient_id
    alone = replace(
        centre,
        train=(),
        validation=(),
        test=tuple(r for r in centre.test if r.patient_id == patient),
    )
    with pytest.raises(TooFewPatients, match="no validation"):
        own_splits(alone, 1)


def test_a_run_without_a_specialized_adapter() -> None:
    generic = CONFIG.model_copy(
        update={"model": CONFIG.model.model_copy(update={"adapters": "generic"})}
    )
    require_dual(CONFIG)
    with pytest.raises(NoSpecializedAdapter) as caught:
        require_dual(generic)
    assert "dual" in caught.value.hint


def test_the_folder_gives_back_what_was_adapted(
    adapted: tuple[ReportGenerator, Adaptation], shared: dict[str, np.ndarray], tmp_path: Path
) -> None:
    generator, adaptation = adapted
    out = tmp_path / "adapted"
    write_adapted(out, generator, adaptation, run="tiny", centre=UNSEEN, after_round=2)
    assert out.stat().st_mode & 0o077 == 0
    own = read_adapted(out, model(shared))
    assert all(np.array_equal(own[n], v) for n, v in generator.specialized_state().items())
    content = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    assert content["after"] == adaptation.after
    assert content["chosen"]["mix"] == adaptation.chosen.mix
    assert "Keep this folder at the centre" in (out / "README.md").read_text(encoding="utf-8")
    with pytest.raises(AdaptedFolderInUse):
        write_adapted(out, generator, adaptation, run="tiny", centre=UNSEEN, after_round=2)
    with pytest.raises(AdaptedToAnother):
        read_adapted(out, build())
    (out / PRIVATE).write_bytes(b"short")
    with pytest.raises(StateUnreadable):
        read_adapted(out, model(shared))
    with pytest.raises(AdaptedFolderBroken):
        read_adapted(tmp_path, model(shared))


def test_peft_reads_path_b_from_the_folder(
    adapted: tuple[ReportGenerator, Adaptation], tmp_path: Path
) -> None:
    generator, adaptation = adapted
    out = tmp_path / "adapted"
    write_adapted(out, generator, adaptation, run="tiny", centre=UNSEEN, after_round=2)
    generator.save_base(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    ids = torch.tensor([[1, 40, 50, 60]])
    with torch.no_grad():
        found = PeftModel.from_pretrained(base, str(out)).eval()(input_ids=ids).logits
        with generator.reading(ReadingPath.B) as decoder:
            wanted = decoder(input_ids=ids).logits
        with generator.reading(ReadingPath.A) as decoder:
            generic = decoder(input_ids=ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(generic, wanted, atol=1e-3)


def test_records_of_a_centre_of_the_runs_own_data() -> None:
    run = CONFIG.model_copy(
        update={"data": CONFIG.data.model_copy(update={"patients_per_unseen_centre": 5})}
    )
    centre = load_new_centre(run, None, "Moorland Royal Hospital")
    assert centre.name == UNSEEN
    assert all((centre.train, centre.validation, centre.test))
    with pytest.raises(CentreTookPart) as caught:
        load_new_centre(run, None, SITES[0])
    assert f"--site {SITES[0]}" in caught.value.hint


def test_records_of_a_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path, CONFIG)
    for place in (tmp_path, tmp_path / "studies.jsonl"):
        centre = load_new_centre(CONFIG, place, "St. Anna")
        assert centre.name == "st-anna"
        assert all((centre.train, centre.validation, centre.test))
    (tmp_path / "other.csv").touch()
    with pytest.raises(DataNotFound, match="2 manifests"):
        load_new_centre(CONFIG, tmp_path, "St. Anna")
    with pytest.raises(DataNotFound, match="no manifest"):
        load_new_centre(CONFIG, tmp_path / "absent", "St. Anna")


def write_manifest(folder: Path, run: RunConfig) -> None:
    """A hospital's own records: five phantom patients as files."""
    from PIL import Image

    rows = []
    records = load_centre(run.data, SITES[1]).train[:8]
    for record in records:
        pixels = np.round(record.load_image(48) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{record.record_id}.png")
        rows.append(
            {
                "study_id": record.record_id,
                "patient_id": record.patient_id,
                "image": f"{record.record_id}.png",
                "report": record.report,
                "centre": "St. Anna",
            }
        )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "studies.jsonl").write_text(lines, encoding="utf-8")
