"""One site's training over rounds: what the agent of a real federation and a simulation both do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.types import FloatVector
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.contrast import head_anchors, prototype_sums
from fedmrg_secure.model.report_generator import PROTOTYPES, ReportGenerator
from fedmrg_secure.privacy.events import PrivacyEvent
from fedmrg_secure.training.batches import Batch, ImageCache, make_batch
from fedmrg_secure.training.dp_trainer import train_privately
from fedmrg_secure.training.drift import (
    Shares,
    drift_shares,
    own_change,
    settle_drift,
    step_corrections,
)
from fedmrg_secure.training.mixing import MIXES, mix_losses
from fedmrg_secure.training.noised_prototypes import noised_prototypes
from fedmrg_secure.training.private_checks import check_privately_trainable
from fedmrg_secure.training.private_plan import pass_event, plan_private_training
from fedmrg_secure.training.seeds import round_seed
from fedmrg_secure.training.trainer import (
    LocalTrainingResult,
    StepReport,
    make_optimiser,
    train_locally,
)
from fedmrg_secure.update.factorization import Factorization

State = Mapping[str, npt.NDArray[np.float32]]

_PRIVATE = "specialized."


@dataclass(frozen=True, slots=True)
class RoundUpdate:
    """What one pass of one site came to.

    Attributes:
        vector: the clipped update, shape (factorization.vector_size,), float64.
        result: of local training; None for a pass that does not train.
    """

    vector: FloatVector
    result: LocalTrainingResult | None


class SiteTrainer:
    """The model, the records and the private memory of one site.

    Several sites of a simulation may take turns on one generator.

    Args:
        site: party name.
        generator: the model; its state is loaded anew in every round.
        records: training records.
        validation: records that the weight of path B is chosen on; may be empty.
        config: of the run.
        factorization: what leaves the site.

    Raises:
        NotPrivatelyTrainable, RecordsMix: the run is private and the model cannot be.
    """

    def __init__(
        self,
        site: str,
        generator: ReportGenerator,
        records: Sequence[Record],
        validation: Sequence[Record],
        config: RunConfig,
        factorization: Factorization,
    ) -> None:
        self._site, self._generator, self._config = site, generator, config
        self._records, self._validation = records, validation
        self._factorization = factorization
        self._private = None if config.privacy is None else plan_private_training(config, site)
        if self._private is not None:
            check_privately_trainable(generator, config.training)
        self._images = ImageCache(config.data.image_size)
        self._optimiser = make_optimiser(generator, config.training)
        self._previous: State | None = None
        generator.load_specialized_state(None)
        self._memory: dict[str, npt.NDArray[np.float32]] = generator.specialized_state()

    @property
    def memory(self) -> State:
        """What belongs to this site alone and outlives a round: the specialized part and the
        factorization's feedback. To be kept on the site's own disk, never to be sent."""
        return dict(self._memory)

    def load_memory(self, memory: State) -> None:
        """Go on with what `memory` gave before a restart.

        Raises:
            StateMismatch: it belongs to another model.
        """
        self._generator.load_specialized_state(_specialized(memory))
        self._memory = dict(memory)

    def privacy_event(self, number: int) -> PrivacyEvent | None:
        """What `train_round` will do to the patients' privacy; None where it costs nothing.

        Args:
            number: of the pass.
        """
        if self._private is None:
            return None
        return pass_event(self._generator, self._factorization, self._config, self._private, number)

    def train_round(
        self, number: int, base: State, on_step: Callable[[StepReport], None] | None = None
    ) -> RoundUpdate:
        """Train from the public state, where this pass does, and give the clipped update.

        In a private run the cost has been reserved before, see `privacy_event`.

        Args:
            number: of the pass, 1, 2, ...; a training round has `factorization.passes` of them.
            base: the public state that all sites start from.
            on_step: called after every step.

        Raises:
            TrainingError, UpdateNotFinite: see `train_locally` and `update.clipping`.
        """
        result = trained = None
        if self._factorization.trains(number):
            result = self._train(number, base, on_step)
            trained = self._generator.shared_state()
            drift = own_change(base, trained, self._memory, self._drift_shares(number))
            self._previous = trained if self._config.training.moon_weight else None
            if PROTOTYPES in trained:
                trained[PROTOTYPES] = self._prototypes().numpy()
            kept = {n: v for n, v in self._memory.items() if not n.startswith(_PRIVATE)}
            self._memory = kept | self._generator.specialized_state() | drift
        vector = self._factorization.update(
            number, base, trained, self._memory, self._config.update.clip_norm
        )
        return RoundUpdate(vector, result)

    def settle(self, number: int, base: State, after: State, *, included: bool) -> None:
        """Bring the memory up to date once the sum of a pass is known.

        See `Factorization.settle` and `training.drift`. The specialized part keeps what it has
        learnt either way.

        Args:
            number: of the pass.
            base: the public state before it.
            after: the public state after it.
            included: whether this site's own vector is in the sum.
        """
        self._factorization.settle(number, base, self._memory, included=included)
        settle_drift(
            self._memory,
            base,
            after,
            self._factorization.carried,
            included=included,
            last=number % self._factorization.passes == 0,
        )

    def skip(
        self, passes: range, base: State, after: State, *, included: bool, forget: bool
    ) -> None:
        """Bring the memory up to date over passes that this site was away for, all at once.

        The states between are not known, so what its own change of the first pass was beside the
        mean one stays unknown too: that drift is forgotten.

        Args:
            passes: numbers of the passes.
            base: the public state before the first.
            after: the public state after the last.
            included: whether this site's own vector is in the sum of the first.
            forget: whether the site took part in a pass that this memory knows nothing of; then
                what the factorization kept back may be in a sum, and only the specialized part
                is kept.
        """
        if forget:
            self._memory = dict(_specialized(self._memory))
            return
        for number in passes:
            mine = included and number == passes[0]
            self._factorization.settle(number, base, self._memory, included=mine)
        settle_drift(
            self._memory, base, after, self._factorization.carried, included=False, last=True
        )

    def tune_mix(self, state: State, on_batch: Callable[[int, int], None] | None = None) -> float:
        """Choose the weight of path B that writes this site's validation reports best.

        Args:
            state: the final public state.
            on_batch: called with the number of batches begun and of all.

        Returns:
            One of `MIXES`, kept in the memory; 1 without validation records, 0 without path B.
        """
        if not self._generator.has_specialized:
            return 0.0
        self._load(state)
        self._generator.mix.fill_(self._best_mix(on_batch) if self._validation else 1.0)
        self._memory |= self._generator.specialized_state()
        return float(self._generator.mix)

    def _drift_shares(self, number: int) -> Shares:
        parameters = self._generator.shared_parameters().keys()
        names = sorted(self._factorization.trainable(number) & parameters)
        return drift_shares(self._config.training, names)

    def _train(
        self, number: int, base: State, on_step: Callable[[StepReport], None] | None
    ) -> LocalTrainingResult:
        round_number = (number - 1) // self._factorization.passes + 1
        training = self._config.training
        self._load(base)
        self._generator.set_trainable(self._factorization.trainable(number))
        corrections = step_corrections(
            self._memory, self._drift_shares(number), training.local_steps
        )
        if self._private is None:
            result = train_locally(
                self._generator,
                self._records,
                training,
                image_size=self._config.data.image_size,
                seed=round_seed(self._config.seed, self._site, round_number),
                round_number=round_number,
                on_step=on_step,
                images=self._images,
                optimiser=self._optimiser,
                previous=self._previous,
                corrections=corrections,
            )
        else:
            result = train_privately(
                self._generator,
                self._records,
                training,
                self._private,
                image_size=self._config.data.image_size,
                round_number=round_number,
                on_step=on_step,
                images=self._images,
                optimiser=self._optimiser,
                previous=self._previous,
                corrections=corrections,
            )
        self._keep_local_anchors()
        return result

    def _load(self, state: State) -> None:
        self._generator.load_shared_state(self._factorization.model_state(state))
        self._generator.load_specialized_state(_specialized(self._memory))

    @torch.no_grad()
    def _keep_local_anchors(self) -> None:
        """The site's own anchors of the next round, before adding: of its head, or of its records
        where they are not private: with `joint` such anchors would reach all that is shared."""
        generator = self._generator
        if not generator.has_specialized:
            return
        if generator.anchor_kind == "prototype" and self._private is None:
            anchors = torch.nn.functional.normalize(self._feature_sums()[1], dim=-1)
        else:
            anchors = head_anchors(generator.diagnosis, generator.encoder.width)
        generator.local_anchors.copy_(anchors)

    def _prototypes(self) -> Tensor:
        """The site's summed features over its number of records: norm at most 1, shape (C, d);
        of a private run with noise, see `noised_prototypes`."""
        if self._private is None:
            return self._feature_sums()[0] / len(self._records)
        size = self._config.training.batch_size
        return noised_prototypes(self._generator, self._records, self._private, self._images, size)

    @torch.no_grad()
    def _feature_sums(self) -> tuple[Tensor, Tensor]:
        """Sums of z_g and of z_s over the training records, shape (C, d) each."""
        totals = [torch.zeros_like(self._generator.anchors), torch.zeros(())]
        for batch in self._batches(self._records):
            z_g, z_s = self._generator.features(batch.images)
            totals[0] = totals[0] + prototype_sums(z_g, batch.statuses)
            if z_s is not None:
                totals[1] = totals[1] + prototype_sums(z_s, batch.statuses)
        return totals[0], totals[1]

    def _best_mix(self, on_batch: Callable[[int, int], None] | None) -> float:
        count = -(-len(self._validation) // self._config.training.batch_size)

        def told() -> Iterator[Batch]:
            for begun, batch in enumerate(self._batches(self._validation), start=1):
                if on_batch is not None:
                    on_batch(begun, count)
                yield batch

        return MIXES[int(mix_losses(self._generator, told()).argmin())]

    def _batches(self, records: Sequence[Record]) -> Iterator[Batch]:
        size = self._config.training.batch_size
        for start in range(0, len(records), size):
            yield make_batch(records[start : start + size], self._images, self._generator)


def _specialized(memory: State) -> State:
    return {name: value for name, value in memory.items() if name.startswith(_PRIVATE)}
