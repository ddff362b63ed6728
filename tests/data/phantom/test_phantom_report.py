from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from fedmrg_secure.core.config import PhantomData
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.labeler import label_report
from fedmrg_secure.data.phantom.case import DEVICES, Anatomy, Case, Finding, Kind
from fedmrg_secure.data.phantom.centres import CENTRES, public_style
from fedmrg_secure.data.phantom.report import Written, write_report
from fedmrg_secure.data.phantom.task import describe_phantom, load_phantom_centre, public_corpus

ANATOMY = Anatomy(0.0, 0.0, 0.0, 0.0, 0.0, vessels=1)


def written(centre: int, *findings: Finding, seed: int = 0) -> Written:
    style = CENTRES[centre].style
    return write_report(Case(ANATOMY, findings), style, np.random.default_rng(seed))


def statuses(report: Written) -> dict[str, Status]:
    return dict(zip(CHEXPERT_CLASSES, report.labels, strict=True))


@pytest.fixture(scope="module")
def records() -> list[tuple[str, tuple[Status, ...]]]:
    config = PhantomData(
        source="phantom", seed=11, patients_per_centre=160, patients_per_unseen_centre=160
    )
    found = []
    for name in describe_phantom().titles:
        data = load_phantom_centre(config, name)
        found += [(r.report, r.labels) for r in (*data.train, *data.validation, *data.test)]
    return found


def test_the_labeler_reads_what_the_reports_were_written_from(
    records: list[tuple[str, tuple[Status, ...]]],
) -> None:
    assert len(records) >= 1000
    agree = [label_report(text)[i] == labels[i] for text, labels in records for i in range(14)]
    assert np.mean(agree) >= 0.99


def test_the_labeler_reads_the_public_mixture_of_styles_too() -> None:
    rng = np.random.default_rng(3)
    kinds = [k for k in Kind if k is not Kind.PNEUMONIA]
    agree = []
    for index in range(600):
        kind = kinds[index % len(kinds)]
        severity = 1.0 if kind in DEVICES else float(rng.random())
        finding = Finding(kind, "left", "lower", severity)
        report = write_report(Case(ANATOMY, (finding,)), public_style(rng), rng)
        agree += [a == b for a, b in zip(label_report(report.text), report.labels, strict=True)]
    assert np.mean(agree) >= 0.99


def test_reports_are_of_the_length_and_vocabulary_promised(
    records: list[tuple[str, tuple[Status, ...]]],
) -> None:
    lengths = [len(text.split()) for text, _ in records]
    assert min(lengths) >= 12
    assert np.percentile(lengths, 5) >= 15
    assert np.percentile(lengths, 99) <= 80
    words = {word for text, _ in records for word in re.findall(r"[a-z]+", text.lower())}
    assert 120 <= len(words) <= 400


def test_centres_write_differently() -> None:
    effusion = Finding(Kind.EDEMA, severity=0.5)
    texts = {centre.title: written(i, effusion).text for i, centre in enumerate(CENTRES)}
    assert len(set(texts.values())) == len(CENTRES)
    assert "oedema" in texts["Harbour View Infirmary"]
    assert "FINDINGS:" in texts["Lakeside Medical Center"]
    assert len(texts["Cedar Valley Clinic"]) < len(texts["Northfield General Hospital"])


def test_sides_sizes_and_zones_are_written() -> None:
    report = written(2, Finding(Kind.EFFUSION, "left", "", 0.9)).text
    assert "large left pleural effusion" in report
    report = written(3, Finding(Kind.MASS, "right", "upper", 0.5)).text
    assert "right upper lung" in report
    report = written(0, Finding(Kind.EFFUSION, "both", "", 0.3)).text
    assert "small" in report
    assert "effusions" in report


def test_doubt_is_uncertain_and_never_a_finding() -> None:
    report = written(2, Finding(Kind.PNEUMOTHORAX, "left", "", 0.05))
    assert statuses(report)["Pneumothorax"] is Status.UNCERTAIN
    assert statuses(report)["No Finding"] is Status.BLANK
    assert re.search(r"possible", report.text, re.IGNORECASE)


def test_pneumonia_is_a_consolidation_too() -> None:
    sure = statuses(written(0, Finding(Kind.PNEUMONIA, "left", "lower", 0.8)))
    assert (sure["Consolidation"], sure["Pneumonia"]) == (Status.POSITIVE, Status.POSITIVE)
    doubtful = statuses(written(0, Finding(Kind.PNEUMONIA, "left", "lower", 0.05)))
    assert (doubtful["Consolidation"], doubtful["Pneumonia"]) == (
        Status.POSITIVE,
        Status.UNCERTAIN,
    )


def test_a_chest_with_nothing_but_a_device_has_no_finding() -> None:
    found = statuses(written(2, Finding(Kind.PACEMAKER, severity=1.0)))
    assert found["Support Devices"] is Status.POSITIVE
    assert found["No Finding"] is Status.POSITIVE
    assert found["Pleural Effusion"] is Status.NEGATIVE


def test_the_public_corpus_is_its_own() -> None:
    corpus = public_corpus(5, 300)
    assert corpus == public_corpus(5, 300)
    assert corpus[:100] == public_corpus(5, 100)
    assert corpus != public_corpus(6, 300)
    words = " ".join(corpus)
    for word in ("oedema", "edema", "FINDINGS:", "zone", "in situ", "Conclusion", "Possible"):
        assert word in words


def test_the_public_corpus_is_the_one_that_the_shipped_base_was_trained_on() -> None:
    """A change here is a change of the language: remake the base (`make base-model`) with it."""
    digest = hashlib.sha256("\n".join(public_corpus(0, 200)).encode()).hexdigest()
    assert digest == "152ee9fd9fc01d026b0aade02006fc98602b70e9a969673cf0c6cd3a7b2de2f4"


def test_hardly_a_private_report_is_in_the_public_corpus_word_for_word(
    records: list[tuple[str, tuple[Status, ...]]],
) -> None:
    public = set(public_corpus(2026, 4000))
    sick = [text for text, labels in records if labels[0] is not Status.POSITIVE]
    assert np.mean([text in public for text in sick]) < 0.01
