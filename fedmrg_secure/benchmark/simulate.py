"""A whole federation in one process, without encryption: the oracle of the real one.

Sites take turns on one model. Every number goes through the same steps as in a real run: the same
seeds, the same clipping, the same grid. A real run with ``insecure-plaintext`` ends with equal bits
when every site took part in every round; one with ``ckks-shared`` does too, because what it opens
is the exact integer sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.site_trainer import SiteTrainer
from fedmrg_secure.training.trainer import LocalTrainingResult
from fedmrg_secure.update.clipping import l2_norm
from fedmrg_secure.update.factorization import make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint

State = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SimulatedRound:
    """What one pass of the protocol did.

    Attributes:
        number: 1, 2, ...
        state: the public state after it.
        results: of each site's local training, by party name; empty in a pass that does not train.
        update_norms: L2 norm of each site's clipped update.
        memories: what each site keeps to itself, by party name.
    """

    number: int
    state: State
    results: Mapping[str, LocalTrainingResult]
    update_norms: Mapping[str, float]
    memories: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What a federation ends with.

    Attributes:
        state: the final public state.
        model_state: the part of it that `ReportGenerator.load_shared_state` takes.
        memories: each site's private memory, with the weight of path B it has chosen.
    """

    state: State
    model_state: State
    memories: Mapping[str, State]


def simulate_federation(
    generator: ReportGenerator,
    records: Mapping[str, Sequence[Record]],
    config: RunConfig,
    *,
    validation: Mapping[str, Sequence[Record]] | None = None,
    weights: Mapping[str, Fraction] | None = None,
    on_round: Callable[[SimulatedRound], None] | None = None,
) -> SimulationResult:
    """Train `generator` on all sites' records for `training.rounds` rounds.

    One site alone, or all records at one site, is the same call with one entry in `records`.

    Args:
        generator: holds the starting state; ends with the final public one.
        records: training records by site.
        config: of the run; its `data` gives the image size only.
        validation: records by site on which the weight of path B is chosen; none when None.
        weights: share of the largest weight by site, in (0, 1]; all 1 when None.
        on_round: called after each pass.
    """
    sites = sorted(records)
    shares = {site: Fraction(1) if weights is None else weights[site] for site in sites}
    shared = generator.shared_state()
    factorization = make_factorization(
        config.update, {name: tensor.shape for name, tensor in shared.items()}
    )
    trainers = {
        site: SiteTrainer(
            site,
            generator,
            records[site],
            () if validation is None else validation[site],
            config,
            factorization,
        )
        for site in sites
    }
    codec = FixedPoint(config.update.clip_norm, config.update.precision_bits)
    state = factorization.initial(shared)
    for number in range(1, config.training.rounds * factorization.passes + 1):
        total = np.zeros(factorization.vector_size, dtype=np.int64)
        results, norms = {}, {}
        for site in sites:
            update = trainers[site].train_round(number, state)
            if update.result is not None:
                results[site] = update.result
            norms[site] = l2_norm(update.vector)
            total += codec.encode(update.vector, shares[site])
        mean = codec.decode(total, sum(shares.values(), Fraction(0)))
        after = factorization.apply(number, state, mean)
        for trainer in trainers.values():
            trainer.settle(number, state, after, included=True)
        state = after
        if on_round is not None:
            memories = {site: trainers[site].memory for site in sites}
            on_round(SimulatedRound(number, state, results, norms, memories))
    for trainer in trainers.values():
        trainer.tune_mix(state)
    model_state = factorization.model_state(state)
    generator.load_shared_state(model_state)
    return SimulationResult(state, model_state, {site: trainers[site].memory for site in sites})
