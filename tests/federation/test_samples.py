"""Examples for the report: chosen before anything is generated, written whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fedmrg_secure.core.types import Status
from fedmrg_secure.evaluation.judging import load_centres
from fedmrg_secure.federation.samples import choose, write_samples
from fedmrg_secure.model.report_generator import images_tensor
from tests.fixtures.trained_run import CONFIG, build

CENTRES = load_centres(CONFIG.data, at_most=6)


def test_the_first_shown_record_has_a_finding_if_any_has() -> None:
    for centre in CENTRES:
        ill = [r for r in centre.records if Status.POSITIVE in r.labels[1:]]
        shown = choose(centre, 2)
        assert shown[0] == (ill[0] if ill else centre.records[0])
        assert len({record.record_id for record in shown}) == 2
    assert choose(CENTRES[0], 0) == []


def test_samples_are_written_and_replaced(tmp_path: Path) -> None:
    generator = build()
    initial = generator.shared_state()
    trained = {name: value * 1.5 for name, value in initial.items()}
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "old.png").touch()
    own = {name: value + np.float32(0.05) for name, value in generator.specialized_state().items()}
    own["specialized.mix"] = np.array([0.5], np.float32)
    write_samples(
        folder,
        generator,
        CENTRES,
        initial,
        trained,
        own={CENTRES[1].name: own},
        per_centre=1,
        image_size=CONFIG.data.image_size,
    )
    entries = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    assert [entry["centre"] for entry in entries] == [centre.name for centre in CENTRES]
    pictures = {entry["image"] for entry in entries}
    assert {path.name for path in folder.iterdir()} == pictures | {"samples.json"}
    with Image.open(folder / entries[0]["image"]) as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")
    assert entries[0]["reference"] == choose(CENTRES[0], 1)[0].report
    assert all(0 <= p <= 1 for entry in entries for p in entry["statuses"].values())
    assert len(entries[0]["statuses"]) == len(CONFIG.model.classes)
    assert [e["path"] for e in entries[:3]] == ["generic", "specialized mix 0.5", "generic"]
    assert entries[0]["generated"] == entries[0]["generic"]
    image = images_tensor([choose(CENTRES[1], 1)[0].load_image(CONFIG.data.image_size)])
    generator.load_specialized_state(own)
    assert entries[1]["generated"] == generator.generate(image, mix=0.5)[0]
    assert entries[1]["generic"] == generator.generate(image)[0]


def test_no_samples_leave_an_empty_list(tmp_path: Path) -> None:
    generator = build()
    state = generator.shared_state()
    write_samples(
        tmp_path / "s", generator, CENTRES, state, state, own={}, per_centre=0, image_size=32
    )
    assert json.loads((tmp_path / "s" / "samples.json").read_text(encoding="utf-8")) == []
