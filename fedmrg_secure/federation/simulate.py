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

from fedmrg_secure.core.config import TrainingConfig, UpdateConfig
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.report_generator import ReportGenerator
from fedmrg_secure.training.batches import ImageCache
from fedmrg_secure.training.seeds import round_seed
from fedmrg_secure.training.trainer import LocalTrainingResult, make_optimiser, train_locally
from fedmrg_secure.update.clipping import clip_to_norm, l2_norm
from fedmrg_secure.update.fixed_point import FixedPoint
from fedmrg_secure.update.layout import Layout

State = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SimulatedRound:
    """What one round did.

    Attributes:
        number: 1, 2, ...
        state: the shared state after it.
        results: of each site's local training, by party name.
        update_norms: L2 norm of each site's update before clipping.
    """

    number: int
    state: State
    results: Mapping[str, LocalTrainingResult]
    update_norms: Mapping[str, float]


def simulate_federation(
    generator: ReportGenerator,
    records: Mapping[str, Sequence[Record]],
    training: TrainingConfig,
    update: UpdateConfig,
    *,
    image_size: int,
    seed: int,
    weights: Mapping[str, Fraction] | None = None,
    on_round: Callable[[SimulatedRound], None] | None = None,
) -> State:
    """Train `generator` on all sites' records for `training.rounds` rounds.

    One site alone, or all records at one site, is the same call with one entry in `records`.

    Args:
        generator: holds the starting state; ends with the final one.
        records: training records by site.
        training: the configuration's section.
        update: the configuration's section.
        image_size: side of the images in pixels.
        seed: of the run.
        weights: share of the largest weight by site, in (0, 1]; all 1 when None.
        on_round: called after each round.

    Returns:
        The final shared state.
    """
    sites = sorted(records)
    caches = {site: ImageCache(image_size) for site in sites}
    optimisers = {site: make_optimiser(generator, training) for site in sites}
    shares = {site: Fraction(1) if weights is None else weights[site] for site in sites}
    codec = FixedPoint(update.clip_norm, update.precision_bits)
    state = generator.shared_state()
    layout = Layout.of({name: tensor.shape for name, tensor in state.items()})
    for number in range(1, training.rounds + 1):
        start = layout.flatten(state)
        total = np.zeros(layout.size, dtype=np.int64)
        results, norms = {}, {}
        for site in sites:
            generator.load_shared_state(state)
            results[site] = train_locally(
                generator,
                records[site],
                training,
                image_size=image_size,
                seed=round_seed(seed, site, number),
                images=caches[site],
                optimiser=optimisers[site],
            )
            difference = layout.flatten(generator.shared_state()) - start
            norms[site] = l2_norm(difference)
            total += codec.encode(clip_to_norm(difference, update.clip_norm), shares[site])
        mean = codec.decode(total, sum(shares.values(), Fraction(0)))
        state = layout.unflatten(start + mean)
        generator.load_shared_state(state)
        if on_round is not None:
            on_round(SimulatedRound(number, state, results, norms))
    return state
