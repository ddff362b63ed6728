"""Judging: which records, batches across centres, scores of a part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedmrg_secure.data.task import load_centre
from fedmrg_secure.evaluation import judging
from fedmrg_secure.evaluation.judging import Centre, Judge, Stopped, load_centres
from fedmrg_secure.evaluation.scores import METRICS, score_reports
from fedmrg_secure.model.report_generator import ReportGenerator, images_tensor
from tests.fixtures.trained_run import CONFIG, build


@pytest.fixture(scope="module")
def centres() -> tuple[Centre, ...]:
    return load_centres(CONFIG.data, at_most=3)


@pytest.fixture(scope="module")
def generator() -> ReportGenerator:
    torch.set_num_threads(1)
    return build()


def judge_of(generator: ReportGenerator, centres: tuple[Centre, ...], **options) -> Judge:  # type: ignore[no-untyped-def]
    return Judge(generator, centres, image_size=CONFIG.data.image_size, **options)


def test_all_centres_with_test_records_only(centres: tuple[Centre, ...]) -> None:
    assert [centre.role for centre in centres] == ["participating"] * 4 + ["unseen"] * 2
    for centre in centres:
        assert 1 <= len(centre.records) <= 3
        data = load_centre(CONFIG.data, centre.name)
        assert {r.record_id for r in centre.records} <= {r.record_id for r in data.test}


def test_fewer_records_are_the_first_of_more(centres: tuple[Centre, ...]) -> None:
    for few, more in zip(load_centres(CONFIG.data, at_most=2), centres, strict=True):
        assert more.records[:2] == few.records


def test_batches_across_centres_give_what_each_image_gives(
    generator: ReportGenerator, centres: tuple[Centre, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_BATCH", 4)
    judgements = judge_of(generator, centres).judge(3)
    for judgement in judgements:
        assert len(judgement.reports) == len(judgement.centre.records)
        for record, report, positive in zip(
            judgement.centre.records, judgement.reports, judgement.positive, strict=True
        ):
            image = images_tensor([record.load_image(CONFIG.data.image_size)])
            assert generator.generate(image) == [report]
            alone = generator.diagnose(image).probabilities[0, :, 1].numpy()
            np.testing.assert_allclose(positive, alone, atol=1e-5)
        images = images_tensor(
            [record.load_image(CONFIG.data.image_size) for record in judgement.centre.records]
        )
        decided = generator.diagnose(images).statuses.numpy()
        np.testing.assert_array_equal(judgement.statuses, decided)


def test_images_are_kept_only_within_the_budget(
    generator: ReportGenerator, centres: tuple[Centre, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_KEPT_IMAGE_BYTES", 2 * 32 * 32 * 4)
    judge = judge_of(generator, centres)
    first = judge.judge(2)
    assert len(judge._kept) == 2
    assert [j.reports for j in judge.judge(2)] == [j.reports for j in first]


def test_scores_are_those_of_the_part(
    generator: ReportGenerator, centres: tuple[Centre, ...]
) -> None:
    judge = judge_of(generator, centres)
    judgement = judge.judge(3)[-1]
    metrics = judge.score([judgement], 2)
    wanted = score_reports(
        [record.report for record in judgement.centre.records[:2]], list(judgement.reports[:2])
    )
    assert {name: metrics[name] for name in wanted} == wanted
    assert metrics.keys() >= {"diagnosis_f1_macro", "diagnosis_f1_micro"}
    assert all(0 <= value <= 1 for name, value in metrics.items() if name != "cider")


def test_an_evaluation_has_the_figures_that_a_sweep_may_name(
    generator: ReportGenerator, centres: tuple[Centre, ...]
) -> None:
    judge = judge_of(generator, centres)
    assert set(judge.score(judge.judge(3), 3)) == set(METRICS)


def test_further_scorers_see_the_texts_of_the_part(
    generator: ReportGenerator, centres: tuple[Centre, ...]
) -> None:
    judge = judge_of(generator, centres)
    judgements = judge.judge(2)
    metrics = judge.score(
        judgements, 1, [lambda references, reports: {"pairs": len(references) + len(reports) / 100}]
    )
    assert metrics["pairs"] == pytest.approx(len(centres) * 1.01)


def test_pooled_scores_take_all_records_as_one_set(
    generator: ReportGenerator, centres: tuple[Centre, ...]
) -> None:
    judge = judge_of(generator, centres)
    judgements = judge.judge(2)
    wanted = score_reports(
        [record.report for judged in judgements for record in judged.centre.records[:2]],
        [report for judged in judgements for report in judged.reports],
    )
    metrics = judge.score(judgements, 2)
    assert {name: metrics[name] for name in wanted} == wanted


def test_it_stops_when_asked(generator: ReportGenerator, centres: tuple[Centre, ...]) -> None:
    with pytest.raises(Stopped):
        judge_of(generator, centres, stopped=lambda: True).judge(1)
