"""Judging a model at every centre of a task: which records, in which order, with which metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.config import DataConfig
from fedmrg_secure.core.types import CHEXPERT_CLASSES, Status
from fedmrg_secure.data.records import FloatImage, Record
from fedmrg_secure.data.task import describe_task, load_centre
from fedmrg_secure.evaluation.diagnosis import diagnosis_auroc, diagnosis_f1
from fedmrg_secure.evaluation.scores import score_reports
from fedmrg_secure.model.report_generator import ReportGenerator, images_tensor

Role = Literal["participating", "unseen"]
Metrics = dict[str, float]
Scorer = Callable[[Sequence[str], Sequence[str]], Metrics]
"""Given references and generated reports, metrics of them as one set."""
State = Mapping[str, npt.NDArray[np.float32]]

_BATCH: Final = 72
_BATCH_OF_LARGE_DECODERS: Final = 16
"""The cache of keys and values of 72 reports is some 700 MB in a decoder of 135M parameters."""
_LARGE_DECODER: Final = 20_000_000
_KEPT_IMAGE_BYTES: Final = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Centre:
    """A centre that models are judged at.

    Attributes:
        name: party name.
        title: as people write it.
        role: whether it trains.
        records: test records in judging order: by the hash of their id, so that a part of them is
            a fair sample and the same in every round.
    """

    name: str
    title: str
    role: Role
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a model did with the first records of one centre.

    Attributes:
        centre: where.
        reports: generated, one a record, in `centre.records` order.
        positive: probability of POSITIVE, shape (records, classes), float32.
        statuses: the most probable `Status`, shape (records, classes), int64.
    """

    centre: Centre
    reports: tuple[str, ...]
    positive: npt.NDArray[np.float32]
    statuses: npt.NDArray[np.int64]


def load_centres(
    data: DataConfig,
    *,
    at_most: int,
    split: Literal["validation", "test"] = "test",
) -> tuple[Centre, ...]:
    """Every centre's records of a split; unseen centres have test records only, all of theirs.

    Args:
        data: the configuration's section.
        at_most: records kept of a centre.
        split: ``validation`` for choices, ``test`` for figures.

    Returns:
        Centres that have at least one such record, participating ones first.

    Raises:
        DataError: the data cannot be read.
    """
    task = describe_task(data)
    roles: list[tuple[str, Role]] = [(name, "participating") for name in task.participating]
    roles += [(name, "unseen") for name in task.unseen]
    centres = []
    for name, role in roles:
        found = load_centre(data, name)
        kept = found.test if split == "test" else found.validation
        records = sorted(kept, key=judging_order)[:at_most]
        if records:
            centres.append(Centre(name, task.titles[name], role, tuple(records)))
    return tuple(centres)


def judging_order(record: Record) -> bytes:
    """The sort key of a record: SHA-256 of its id."""
    return hashlib.sha256(record.record_id.encode()).digest()


OnRecords = Callable[[int, int], None]
"""Records judged so far, and how many there are."""


class Judge:
    """Generates and scores reports.

    Args:
        generator: the model; its shared state is whatever was loaded last.
        centres: from `load_centres`.
        image_size: side of the model's input, pixels.
        stopped: asked between batches; True ends the work by `Stopped`.
        on_records: told after each batch how many of how many records are judged.
    """

    def __init__(
        self,
        generator: ReportGenerator,
        centres: Sequence[Centre],
        *,
        image_size: int,
        stopped: Callable[[], bool] = lambda: False,
        on_records: OnRecords = lambda *_: None,
    ) -> None:
        self._generator = generator
        self._on_records = on_records
        self._centres = centres
        self._image_size = image_size
        self._stopped = stopped
        large = generator.parameter_counts.decoder >= _LARGE_DECODER
        self._batch = _BATCH_OF_LARGE_DECODERS if large else _BATCH
        self._kept: dict[str, FloatImage] = {}

    def judge(self, count: int, own: Mapping[str, State] | None = None) -> list[Judgement]:
        """Generate reports for the first `count` records of every centre.

        Args:
            count: records of a centre at most.
            own: the specialized part of centres that have one, by party name (see
                `ReportGenerator.specialized_state`); they write with the mix they have chosen, all
                others with the generic adapter alone.

        Raises:
            Stopped: when asked to.
            StateMismatch: a specialized part belongs to another model.
        """
        own = own or {}
        generic = [centre for centre in self._centres if centre.name not in own]
        judged = {j.centre.name: j for j in self._judge_together(generic, count, mix=0.0)}
        for centre in self._centres:
            if centre.name in own:
                self._generator.load_specialized_state(own[centre.name])
                mix = float(self._generator.mix)
                judged[centre.name] = self._judge_together([centre], count, mix=mix)[0]
        return [judged[centre.name] for centre in self._centres]

    def score(
        self, judgements: Sequence[Judgement], count: int, scorers: Sequence[Scorer] = ()
    ) -> Metrics:
        """The metrics of the first `count` records of each centre, as one set.

        Args:
            judgements: from `judge`, at least one record in all.
            count: records of a centre at most.
            scorers: further metrics of the reports, such as `semantic.SemanticSimilarity`.

        Returns:
            Each in [0, 1], but CIDEr in [0, 10] and a cosine in [-1, 1]. The diagnosis AUROC is the
            mean over the classes that some of these records have and some have not; it is left out
            where there is no such class.
        """
        records = [record for judged in judgements for record in judged.centre.records[:count]]
        reports = [report for judged in judgements for report in judged.reports[:count]]
        references = [record.report for record in records]
        metrics = score_reports(references, reports)
        columns = self._generator.class_columns
        labels = [[record.labels[column] for column in columns] for record in records]
        classes = [CHEXPERT_CLASSES[column] for column in columns]
        positive = np.concatenate([judged.positive[:count] for judged in judgements])
        if areas := diagnosis_auroc(labels, positive, classes):
            metrics["diagnosis_auroc"] = areas["mean"]
        statuses = np.concatenate([judged.statuses[:count] for judged in judgements])
        metrics |= diagnosis_f1(labels, statuses, classes)
        for scorer in scorers:
            metrics |= scorer(references, reports)
        return metrics

    def _judge_together(
        self, centres: Sequence[Centre], count: int, *, mix: float
    ) -> list[Judgement]:
        """Centres that are written for alike; batches cross their borders."""
        reports: list[str] = []
        positive: list[npt.NDArray[np.float32]] = []
        statuses: list[npt.NDArray[np.int64]] = []
        for batch in _batches(self._images(centres, count), self._batch):
            if self._stopped():
                raise Stopped
            images = images_tensor(batch)
            reports += self._generator.generate(images, mix=mix)
            diagnosis = self._generator.diagnose(images)
            positive.append(diagnosis.probabilities[:, :, Status.POSITIVE].numpy())
            statuses.append(diagnosis.statuses.numpy())
            self._on_records(len(reports), sum(len(one.records[:count]) for one in centres))
        judgements, start = [], 0
        for centre in centres:
            end = start + len(centre.records[:count])
            judgements.append(
                Judgement(
                    centre,
                    tuple(reports[start:end]),
                    np.concatenate(positive)[start:end],
                    np.concatenate(statuses)[start:end],
                )
            )
            start = end
        return judgements

    def _images(self, centres: Sequence[Centre], count: int) -> Iterator[FloatImage]:
        for centre in centres:
            for record in centre.records[:count]:
                yield self._image(record)

    def _image(self, record: Record) -> FloatImage:
        """A record's image, kept in memory as far as the budget goes."""
        image = self._kept.get(record.record_id)
        if image is None:
            image = record.load_image(self._image_size)
            if (len(self._kept) + 1) * image.nbytes <= _KEPT_IMAGE_BYTES:
                self._kept[record.record_id] = image
        return image


class Stopped(Exception):
    """The judge was asked to stop: not an error."""


def _batches(images: Iterator[FloatImage], size: int) -> Iterator[list[FloatImage]]:
    batch: list[FloatImage] = []
    for image in images:
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
