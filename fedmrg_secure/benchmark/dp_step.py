"""What a private step costs beside a plain one over the same records.

Both are the steps of `training`, over one model with one optimiser. They take turns, so that what
else the machine does meets both. Memory is measured apart: a process makes steps of one kind alone,
started as ``python -m fedmrg_secure.benchmark.dp_step KIND`` with a `Case` as JSON on its standard
input; it prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch

from fedmrg_secure.benchmark.peak_memory import peak_memory_mb
from fedmrg_secure.core.config import PhantomData, RunConfig, TrainingConfig
from fedmrg_secure.core.privacy_terms import PrivacyTerms
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import describe_task, load_centre
from fedmrg_secure.model.report_generator import build_report_generator
from fedmrg_secure.privacy.randomness import NoiseStream
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.dp_trainer import PrivateStepper, noised_parts
from fedmrg_secure.training.per_record import per_record_gradients
from fedmrg_secure.training.phases import Phase
from fedmrg_secure.training.private_checks import check_privately_trainable
from fedmrg_secure.training.private_step import PrivateSteps, PrivateTraining
from fedmrg_secure.training.private_sum import coordinates
from fedmrg_secure.training.round_loss import RoundLoss
from fedmrg_secure.training.trainer import PlainStepper, make_optimiser
from fedmrg_secure.update.factorization import make_factorization

Kind = Literal["plain", "private"]
KINDS: Final[tuple[Kind, ...]] = ("plain", "private")

_PATIENTS_A_RECORD: Final = 4
"""Of a made-up centre: its training split has at least one of four patients."""

_STILL: Final = 1e-9
"""Learning rate: many steps of the same cost, the last one over the model of the first."""


@dataclass(frozen=True, slots=True)
class Case:
    """What to measure.

    Attributes:
        config: model, factorisation and losses; of its data the size of images only.
        batch: records of a step, of as many patients.
        steps: measured, after one to warm up.
        noise_multiplier: of the private steps; the time does not depend on it.
    """

    config: RunConfig
    batch: int
    steps: int
    noise_multiplier: float = 1.0

    def to_json(self) -> str:
        """What the measuring process reads."""
        return json.dumps(
            {
                "config": self.config.model_dump(mode="json"),
                "batch": self.batch,
                "steps": self.steps,
                "noise_multiplier": self.noise_multiplier,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "config": RunConfig.model_validate(fields["config"])})

    @property
    def training(self) -> TrainingConfig:
        """The configuration's, where both kinds of step do the same: one batch is one pass, and
        what is shared does not learn from the specialized part."""
        given = self.config.training
        joint = given.boosting == "joint" or self.config.model.adapters == "generic"
        return given.model_copy(
            update={
                "batch_size": self.batch,
                "boosting": given.boosting if joint else "one_way",
                "learning_rate": _STILL,
                "adapter_learning_rate": _STILL,
            }
        )


@dataclass(slots=True)
class Step:
    """One measured step, in seconds.

    Attributes:
        wall: of the clock.
        cpu: of the processor, all threads.
        phases: wall seconds by part.
    """

    wall: float
    cpu: float
    phases: dict[Phase, float]


class StepPair:
    """A model that makes plain and private steps of the same records.

    Args:
        case: what to measure.

    Raises:
        InputError: the model does not load.
    """

    def __init__(self, case: Case) -> None:
        config, training = case.config, case.training
        torch.set_num_threads(training.threads)
        model = config.model.model_copy(update={"dtype": "float32"})
        self.generator = build_report_generator(
            model, config.update, image_size=config.data.image_size, seed=config.seed
        )
        self._records = _records(case)
        self._cache = ImageCache(config.data.image_size)
        shapes = {name: value.shape for name, value in self.generator.shared_state().items()}
        self.generator.set_trainable(make_factorization(config.update, shapes).trainable(1))
        self.generator.train()
        optimiser = make_optimiser(self.generator, training)
        self._spent: defaultdict[Phase, float] = defaultdict(float)
        self._plain = PlainStepper(
            self.generator,
            training,
            1,
            optimiser,
            np.random.default_rng(config.seed),
            None,
            {},
            self._measure,
        )
        self._private = PrivateStepper(
            self.generator,
            training,
            PrivateSteps(
                PrivateTraining(_terms(case), case.noise_multiplier, NoiseStream.fresh()),
                self._records,
                noised_parts(self.generator, training),
                case.batch,
            ),
            RoundLoss(self.generator, training, 1, None),
            optimiser,
            {},
            self._measure,
        )

    @property
    def noised_values(self) -> int:
        """Values that get noise in a step."""
        return coordinates([self._private.noised])

    @property
    def trained_values(self) -> int:
        """Values that train, noised or not."""
        return sum(p.numel() for p in self.generator.parameters() if p.requires_grad)

    def step(self, kind: Kind) -> Step:
        """One step, measured from loading the batch to the end of the optimiser's work.

        What a round does once is not in it: Opacus attaches to the layers before a private step
        and leaves them afterwards.
        """
        self._spent.clear()
        if kind == "plain":
            return self._timed(self._plain_step)
        with per_record_gradients(self.generator, self._private.noised) as gradients:
            return self._timed(lambda: self._private.step(self._records, self._cache, gradients))

    def _plain_step(self) -> object:
        with self._measure("load"):
            batch = make_batch(self._records, self._cache, self.generator)
        return self._plain.step(batch)

    def _timed(self, work: Callable[[], object]) -> Step:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return Step(time.perf_counter() - wall, time.process_time() - cpu, dict(self._spent))

    @contextmanager
    def _measure(self, phase: Phase) -> Iterator[None]:
        within = sum(self._spent.values())
        started = time.perf_counter()
        yield
        inside = sum(self._spent.values()) - within
        self._spent[phase] += time.perf_counter() - started - inside


def measure_steps(case: Case, progress: Callable[[int], None]) -> dict[str, Any]:
    """Time plain and private steps in turns.

    Args:
        case: what to measure.
        progress: told how many turns are done; the first warms up.

    Returns:
        ``trained_values``, ``noised_values``; for each kind ``wall_s``, ``cpu_s`` and ``phases``,
        medians over the turns; ``wall_times_plain`` and ``cpu_times_plain``, the medians of each
        turn's ratio.

    Raises:
        InputError: the model does not load, or cannot be trained privately.
    """
    pair = StepPair(case)
    check_privately_trainable(pair.generator, case.training)
    turns: list[dict[Kind, Step]] = []
    for turn in range(case.steps + 1):
        order = KINDS if turn % 2 else KINDS[::-1]
        steps = {kind: pair.step(kind) for kind in order}
        if turn:
            turns.append(steps)
        progress(turn)
    return {
        "trained_values": pair.trained_values,
        "noised_values": pair.noised_values,
        **{kind: _medians([steps[kind] for steps in turns]) for kind in KINDS},
        "wall_times_plain": _median([t["private"].wall / t["plain"].wall for t in turns]),
        "cpu_times_plain": _median([t["private"].cpu / t["plain"].cpu for t in turns]),
    }


def measure_memory(case: Case, kind: Kind) -> dict[str, float]:
    """The most memory of this process: with the model loaded, and after two steps of one kind."""
    pair = StepPair(case)
    loaded = peak_memory_mb()
    for _ in range(2):  # the first step makes the optimiser's moments
        pair.step(kind)
    return {"loaded_mb": loaded, "peak_mb": peak_memory_mb()}


def _medians(steps: list[Step]) -> dict[str, Any]:
    return {
        "wall_s": _median([step.wall for step in steps]),
        "cpu_s": _median([step.cpu for step in steps]),
        "phases": {
            phase: _median([step.phases[phase] for step in steps]) for phase in steps[0].phases
        },
    }


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _records(case: Case) -> list[Record]:
    """Made-up records of different patients: whose they are changes nothing in the cost."""
    data = PhantomData(
        source="phantom",
        image_size=case.config.data.image_size,
        patients_per_centre=max(10, _PATIENTS_A_RECORD * case.batch),
    )
    records = load_centre(data, describe_task(data).participating[0]).train
    by_patient = {record.patient_id: record for record in reversed(records)}
    return [by_patient[patient] for patient in sorted(by_patient)][: case.batch]


def _terms(case: Case) -> PrivacyTerms:
    """Of a step that takes every record; delta and the number of steps decide nothing here."""
    return PrivacyTerms(
        unit="patient",
        delta=1e-5,
        population=case.batch,
        sampling_rate=1.0,
        expected_batch=float(case.batch),
        steps=1,
        steps_per_round=1,
        max_records=1,
        clip_norm=1.0,
    )


def main() -> None:
    """Measure the memory of the case on standard input."""
    kind = KINDS[KINDS.index(sys.argv[1])]
    print(json.dumps(measure_memory(Case.from_json(sys.stdin.read()), kind)))  # noqa: T201


if __name__ == "__main__":
    main()
