"""A new centre adapts by training its specialized adapter alone: behind ``fedmrg adapt``.

All that is shared stays as it is, which a hash taken before and after proves; nothing is sent to
anybody. The centre's records are split by patient: it learns from the first part, chooses by the
second how long to train and how much of path B to take, and is judged on the third.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from fedmrg_secure.core.canonical import tagged_hash
from fedmrg_secure.core.config import RunConfig, Splits, TrainingConfig
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.data.partition import SPLITS, split_patients
from fedmrg_secure.data.records import CentreData, Record
from fedmrg_secure.evaluation.bootstrap import Interval, paired_bootstrap
from fedmrg_secure.evaluation.judging import Centre, Judge, Metrics, judging_order
from fedmrg_secure.federation.states import State
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.batches import Batch, ImageCache, make_batch
from fedmrg_secure.training.mixing import MIXES, mix_losses
from fedmrg_secure.training.seeds import round_seed
from fedmrg_secure.training.trainer import make_optimiser, train_locally

OWN_SPLITS: Final = Splits(train=0.6, validation=0.2, test=0.2)
"""Shares of the patients of a centre that comes without splits."""

_PATIENCE: Final = 4
"""Validations in a row without a better one after which training ends."""


class NoSpecializedAdapter(InputError):
    """The run has no specialized adapter that a centre could train."""

    code: ClassVar[str] = "FMRG-6411"


class TooFewPatients(InputError):
    """A centre cannot learn, choose and be judged on different patients."""

    code: ClassVar[str] = "FMRG-6412"


class SharedPartChanged(FedmrgError):
    """Adapting has changed a value that all sites share."""

    code: ClassVar[str] = "FMRG-6413"


@dataclass(frozen=True, slots=True)
class Tried:
    """One validation.

    Attributes:
        steps: taken so far; 0 is the shared model.
        loss: mean cross-entropy of the validation reports, nats a token, under the best mix.
        mix: that mix.
    """

    steps: int
    loss: float
    mix: float


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What adapting came to; the generator holds the chosen specialized part.

    Attributes:
        chosen: the validation that the choice rests on; mix 0 when adapting did not help.
        tried: every validation.
        shared_hash: of the shared state, equal before and after, hex.
        records: by split.
        patients: by split.
        before: metrics of the generic path on the test patients.
        after: the same with the chosen mix.
        differences: after minus before, with a paired bootstrap over the test records.
    """

    chosen: Tried
    tried: tuple[Tried, ...]
    shared_hash: str
    records: dict[str, int]
    patients: dict[str, int]
    before: Metrics
    after: Metrics
    differences: dict[str, Interval]


def adapt_centre(
    generator: ReportGenerator,
    centre: CentreData,
    training: TrainingConfig,
    *,
    image_size: int,
    seed: int,
    most_steps: int,
    on_validated: Callable[[Tried], None] = lambda _: None,
) -> Adaptation:
    """Train a centre's specialized adapter, choose when to stop and how to mix, and judge it.

    The loss of a record is CE(B) + ls*KL(A || B), see `training.objectives`. A gives its logits
    without gradients: nothing shared requires any.

    Args:
        generator: with a specialized adapter, in the run's trained state; ends with the part
            that was chosen.
        centre: from `own_splits`: records in all three splits.
        training: of the run; its weights of what is shared are left out.
        image_size: side of the model's input, pixels.
        seed: of the run; fixes the order of records.
        most_steps: optimiser steps at most, >= 1.
        on_validated: told each validation.

    Raises:
        TrainingDiverged: a loss is not finite.
        SharedPartChanged: a shared value is not what it was; never seen, always checked.
    """
    before = hash_shared(generator)
    generator.load_specialized_state(None)
    generator.set_trainable(frozenset())
    try:
        tried, best = _train(
            generator, centre, _alone(training), image_size, seed, most_steps, on_validated
        )
    finally:
        generator.set_trainable(None)
    generator.load_specialized_state(best)
    if hash_shared(generator) != before:
        raise SharedPartChanged("adapting has changed a value that all sites share")
    judged, differences = _judge(generator, centre, best, image_size, seed)
    parts = {split: getattr(centre, split) for split in SPLITS}
    return Adaptation(
        chosen=_best(tried),
        tried=tuple(tried),
        shared_hash=before,
        records={split: len(records) for split, records in parts.items()},
        patients={split: len({r.patient_id for r in rs}) for split, rs in parts.items()},
        before=judged[0],
        after=judged[1],
        differences=differences,
    )


def require_dual(run: RunConfig) -> None:
    """Return if a run's model has a specialized adapter.

    Raises:
        NoSpecializedAdapter: it has the generic one only.
    """
    if run.model.adapters != "dual":
        raise NoSpecializedAdapter(
            "the run was trained with the generic adapter alone: there is none to adapt",
            hint="train with model.adapters: dual",
        )


def own_splits(centre: CentreData, seed: int) -> CentreData:
    """The centre with records in all splits: its own ones, or `OWN_SPLITS` of its patients.

    An unseen centre of a run has test records only, which are then split by patient: the same in
    every call with this seed, and never the same patient on two sides.

    Raises:
        TooFewPatients: a split is left empty; three patients are the fewest.
    """
    if not centre.train:
        everyone = (*centre.validation, *centre.test)
        split_of = split_patients({r.patient_id for r in everyone}, seed, OWN_SPLITS)
        train, validation, test = (
            tuple(r for r in everyone if split_of[r.patient_id] == split) for split in SPLITS
        )
        centre = replace(centre, train=train, validation=validation, test=test)
    if empty := [split for split in SPLITS if not getattr(centre, split)]:
        raise TooFewPatients(
            f"{centre.name} has no {' and no '.join(empty)} records",
            hint="it takes three patients at least: to learn from, to choose by, to judge on",
        )
    return centre


def hash_shared(generator: ReportGenerator) -> str:
    """A hash of every shared value, hex: a specialized part belongs to one such state."""
    state = generator.shared_state()
    parts = [part for name, value in state.items() for part in (name.encode(), value.tobytes())]
    return tagged_hash("fedmrg/shared-values/v1", *parts).hex()


def _alone(training: TrainingConfig) -> TrainingConfig:
    """The run's training with only what reaches the specialized adapter left in."""
    return training.model_copy(
        update={
            "boosting": "none" if training.boosting == "none" else "one_way",
            "diagnosis_weight": 0.0,
            "contrast_weight": 0.0,
            "proximal_weight": 0.0,
            "moon_weight": 0.0,
        }
    )


def _train(
    generator: ReportGenerator,
    centre: CentreData,
    training: TrainingConfig,
    image_size: int,
    seed: int,
    most_steps: int,
    on_validated: Callable[[Tried], None],
) -> tuple[list[Tried], State]:
    """Train until `_PATIENCE` validations brought nothing; every one, and the best one's state."""
    images = ImageCache(image_size)
    optimiser = make_optimiser(generator, training)
    tried: list[Tried] = []
    best: State = {}

    def validate(steps: int) -> None:
        nonlocal best
        batches = _batches(generator, centre.validation, images, training.batch_size)
        losses = mix_losses(generator, batches)
        place = int(losses.argmin())
        tried.append(Tried(steps, float(losses[place]), MIXES[place]))
        if _best(tried) is tried[-1]:
            generator.mix.fill_(MIXES[place])
            best = generator.specialized_state()
        on_validated(tried[-1])

    validate(0)
    while tried[-1].steps < most_steps and tried.index(_best(tried)) >= len(tried) - _PATIENCE:
        steps = min(training.local_steps, most_steps - tried[-1].steps)
        train_locally(
            generator,
            centre.train,
            training.model_copy(update={"local_steps": steps}),
            image_size=image_size,
            seed=round_seed(seed, centre.name, len(tried)),
            round_number=training.boost_warmup,  # the teacher is trained: no warm-up
            images=images,
            optimiser=optimiser,
        )
        validate(tried[-1].steps + steps)
    return tried, best


def _best(tried: Sequence[Tried]) -> Tried:
    """The lowest loss; of equal ones the first, which trained least."""
    return min(tried, key=lambda each: each.loss)


def _batches(
    generator: ReportGenerator, records: Sequence[Record], images: ImageCache, size: int
) -> Iterator[Batch]:
    for start in range(0, len(records), size):
        yield make_batch(records[start : start + size], images, generator)


def _judge(
    generator: ReportGenerator, centre: CentreData, own: State, image_size: int, seed: int
) -> tuple[tuple[Metrics, Metrics], dict[str, Interval]]:
    """Metrics of the generic path and of the chosen one on the test records."""
    records = tuple(sorted(centre.test, key=judging_order))
    judge = Judge(
        generator, [Centre(centre.name, centre.title, "unseen", records)], image_size=image_size
    )
    generic = judge.judge(len(records))
    adapted = judge.judge(len(records), {centre.name: own})
    differences = paired_bootstrap(
        [record.report for record in records],
        generic[0].reports,
        adapted[0].reports,
        seed=seed,
    )
    scores = (judge.score(generic, len(records)), judge.score(adapted, len(records)))
    return scores, differences
