"""What a run will be, worked out before anything starts: parties, updates, scheme, costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import party_name
from fedmrg_secure.crypto.capacity import check_capacity
from fedmrg_secure.crypto.frame import AGGREGATE, vector_bytes
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.data.records import Task
from fedmrg_secure.data.task import describe_task, load_centre
from fedmrg_secure.federation.run_folder import RunFolder
from fedmrg_secure.federation.session import make_manifest
from fedmrg_secure.model.parameters import ParameterCounts
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.quorum import Quorum
from fedmrg_secure.provisioning.site_kit import load_kit
from fedmrg_secure.update.factorization import Factorization, make_factorization
from fedmrg_secure.update.fixed_point import FixedPoint

_LIBRARIES_MB = 430
"""Resident memory of a site's process with its libraries loaded and no model (measured)."""
_COORDINATOR_MB = 110
"""Resident memory of a coordinator's process without chunks (measured)."""


class UnknownSite(InputError):
    """`federation.sites` names a centre that does not participate."""

    code: ClassVar[str] = "FMRG-6001"


class TooFewSites(InputError):
    """The run has fewer sites than it needs for a round."""

    code: ClassVar[str] = "FMRG-6002"


@dataclass(frozen=True)
class RunPlan:
    """A run that can start.

    Attributes:
        config: what was asked for.
        task: the centres and the rows left out.
        sites: party names of the sites that train, sorted.
        generator: the model in its initial state.
        factorization: what a site sends.
        parameters: of the scheme for this many sites.
        codec: between real updates and the integers that are encrypted.
        records: training records of each site.
        weights: each site's weight: 1, or its number of training records.
    """

    config: RunConfig
    task: Task
    sites: tuple[str, ...]
    generator: ReportGenerator
    factorization: Factorization
    parameters: SchemeParameters
    codec: FixedPoint
    records: dict[str, int]
    weights: dict[str, int]

    @property
    def unseen(self) -> tuple[str, ...]:
        """Party names of the centres that never train."""
        return self.task.unseen

    @property
    def counts(self) -> ParameterCounts:
        return self.generator.parameter_counts

    @property
    def passes(self) -> int:
        """Rounds of the protocol that one training round takes."""
        return self.factorization.passes

    @property
    def protocol_rounds(self) -> int:
        """Rounds of the protocol in the whole run."""
        return self.config.training.rounds * self.passes

    @property
    def values_sent(self) -> int:
        """Values that a site sends in a training round: the vectors of all its passes."""
        return self.factorization.vector_size * self.passes

    @property
    def bytes_up(self) -> int:
        """Bytes of one site's encrypted updates in a training round: exact."""
        return self.passes * self._frames(self.sites[0], contributors=1)

    @property
    def bytes_down(self) -> int:
        """Bytes of the encrypted sums of a training round with every site in them: exact."""
        return self.passes * self._frames(AGGREGATE, contributors=len(self.sites))

    @property
    def error_bound(self) -> float:
        """Largest error of a coordinate of the weighted mean, in the update's units."""
        weights, sites = self.weights.values(), len(self.sites)
        total_weight = Fraction(sum(weights), max(weights))
        noise = self.parameters.sum_error_bound(sites) * self.codec.step / float(total_weight)
        return self.codec.error_bound(sites, total_weight) + noise

    @property
    def quorum(self) -> Quorum | None:
        """How many sites certify and open a sum, where each makes a key of its own a round."""
        if self.parameters.scheme != CKKS_MULTIPARTY:
            return None
        secure = self.config.secure_aggregation
        return Quorum(secure.colluders, secure.certificate)

    @property
    def site_memory_mb(self) -> int:
        """Estimate of one site's resident memory: libraries, model, gradients, optimiser."""
        trained = self.counts.shared + self.counts.specialized
        model = 4 * self.counts.total + 16 * trained + 8 * 4 * self.factorization.vector_size
        return _LIBRARIES_MB + round(model / 2**20)

    @property
    def coordinator_memory_mb(self) -> int:
        """Estimate of the coordinator's resident memory: a few chunks, whatever the model."""
        return _COORDINATOR_MB + round(6 * 8 * self.parameters.chunk_values / 2**20)

    def scheme_facts(self) -> dict[str, Any]:
        """What a reader should know of the encryption."""
        return {
            **self.parameters.to_json(),
            "residue_bits": self.parameters.residue_bits,
            "clip_norm": self.codec.clip_norm,
            "precision_bits": self.codec.precision_bits,
            "grid_step": self.codec.step,
            "max_error": self.error_bound,
            **self._thresholds(),
            "parameters_digest": self.parameters.digest,
        }

    def _thresholds(self) -> dict[str, int]:
        if self.quorum is None:
            return {}
        return {
            "threshold": self.quorum.threshold(len(self.sites)),
            "colluders": self.quorum.colluders,
        }

    def write_session(self, folder: RunFolder) -> SessionManifest:
        """Pin the session: write ``coordinator/session.json`` for the provisioned folder."""
        roster = load_kit(folder.coordinator / "kit").roster
        manifest = make_manifest(
            self.config, roster, self.generator, self.factorization, self.parameters, self.weights
        )
        manifest.write(folder.coordinator / "session.json")
        return manifest

    def _frames(self, sender: str, *, contributors: int) -> int:
        size = self.factorization.vector_size
        return vector_bytes(self.parameters, size, sender=sender, contributors=contributors)


def make_plan(config: RunConfig) -> RunPlan:
    """Check data, model and scheme together and work out what the run will cost.

    Raises:
        InputError: the data is broken, a site is unknown, the sites are too few, the numbers do
            not fit the scheme or its error is above ``secure_aggregation.max_error``.
    """
    task = describe_task(config.data)
    sites = _chosen_sites(config, task)
    records = {site: len(load_centre(config.data, site).train) for site in sites}
    return _assemble(config, task, sites, records, _weights(config, records))


def plan_site(config: RunConfig, site: str) -> RunPlan:
    """The run as one site of a real federation sees it: its own data, the others' names.

    Args:
        config: the site's own configuration; ``federation.sites`` lists all sites.
        site: its party name.

    Raises:
        InputError: as `make_plan`; UnknownSite where the site is not listed.
    """
    sites = tuple(sorted(map(party_name, config.federation.sites or ())))
    if site not in sites:
        raise UnknownSite(
            f"{site} is not in federation.sites",
            hint="list every site of the federation there, this one too",
        )
    task = describe_task(config.data)
    records = {site: len(load_centre(config.data, site).train)}
    # What the others weigh is theirs to say: equal weights stand for them.
    return _assemble(config, task, sites, records, dict.fromkeys(sites, 1))


def _assemble(
    config: RunConfig,
    task: Task,
    sites: tuple[str, ...],
    records: dict[str, int],
    weights: dict[str, int],
) -> RunPlan:
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    factorization = make_factorization(
        config.update, {name: array.shape for name, array in generator.shared_state().items()}
    )
    codec = FixedPoint(config.update.clip_norm, config.update.precision_bits)
    parameters = check_capacity(
        config.secure_aggregation.scheme,
        sites=len(sites),
        clip_norm=codec.clip_norm,
        precision_bits=codec.precision_bits,
        max_error=config.secure_aggregation.max_error,
        wire_bits=config.secure_aggregation.wire_bits,
        total_weight=Fraction(sum(weights.values()), max(weights.values())),
    )
    return RunPlan(
        config, task, sites, generator, factorization, parameters, codec, records, weights
    )


def federation_name(config: RunConfig) -> str:
    """The throw-away federation's name: the run's, in the form of a party name."""
    return party_name(config.name)


def _weights(config: RunConfig, records: Mapping[str, int]) -> dict[str, int]:
    uniform = config.update.weighting == "uniform"
    return {site: 1 if uniform else max(1, count) for site, count in records.items()}


def _chosen_sites(config: RunConfig, task: Task) -> tuple[str, ...]:
    asked = config.federation.sites
    # A file may name a site by its centre's title, "United Kingdom", or by its party name.
    sites = tuple(sorted(task.participating if asked is None else map(party_name, asked)))
    if unknown := sorted(set(sites) - set(task.participating)):
        raise UnknownSite(
            f"federation.sites names {', '.join(unknown)}",
            hint=f"participating centres are {', '.join(sorted(task.participating))}",
        )
    if len(set(sites)) < config.federation.min_sites:
        raise TooFewSites(
            f"{len(set(sites))} sites can never be min_sites={config.federation.min_sites}",
            hint="lower federation.min_sites or let more centres take part",
        )
    return sites
