"""Runs one job of the benchmark in a process of its own.

Started as ``python -m fedmrg_secure.benchmark.job_process RESULTS`` with the job as one line of
JSON on its standard input, which stays open for as long as anybody waits for the result: when it
closes, the process ends. Progress is JSON lines on standard output.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch

from fedmrg_secure import __version__
from fedmrg_secure.benchmark.communication import Uplink, uplink_of
from fedmrg_secure.benchmark.jobs import CentreResult, Job, JobResult, ResultFolder, Written
from fedmrg_secure.benchmark.simulate import SimulatedRound, SimulationResult, simulate_federation
from fedmrg_secure.benchmark.tasks import training_sites
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.data.records import CentreData, Record
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.evaluation.judging import Centre, Judge, Judgement, Metrics, State, load_centres
from fedmrg_secure.model.report_generator import build_report_generator
from fedmrg_secure.update.factorization import make_factorization

Progress = Callable[[float, str], None]
"""Told the share of the work that is done, and what is being done."""

_ROLES: Final = ("participating", "unseen")
_VERSIONED: Final = ("torch", "transformers", "peft", "numpy")


def run_job(job: Job, progress: Progress) -> JobResult:
    """Train and judge one method under one seed.

    Raises:
        FedmrgError: data, model or training.
    """
    return _Work(job, progress).run()


class _Work:
    def __init__(self, job: Job, progress: Progress) -> None:
        self._started = time.monotonic()
        self._job, self._config, self._progress = job, job.config, progress
        config = job.config
        self._generator = build_report_generator(
            config.model, config.update, image_size=config.data.image_size, seed=config.seed
        )
        self._initial = self._generator.shared_state()
        self._sites = training_sites(config)
        self._data = {site: load_centre(config.data, site) for site in self._sites}
        settings = config.evaluation
        self._most = max(settings.final_records_per_centre, settings.records_per_centre)
        # A centre that could train and does not belongs to neither table.
        self._centres = [
            centre
            for centre in load_centres(config.data, at_most=self._most, split=job.split)
            if centre.role == "unseen" or centre.name in self._sites
        ]
        self._uplink = uplink_of(config, self._generator, sites=len(self._sites))
        self._train_s = 0.0
        self._mixes: dict[str, float] = {}
        self._curve: list[dict[str, Any]] = []

    def run(self) -> JobResult:
        """Everything, in the order of the scope."""
        written: dict[str, list[Written]] = {centre.name: [] for centre in self._centres}
        pooled: list[dict[str, Metrics]] = []
        own: list[tuple[Judge, Judgement]] = []
        if self._job.scope == "local":
            for place, site in enumerate(self._sites):
                judge, judged = self._train_alone(site, place)
                self._keep(judge, judged, written, model=site)
                own += [(judge, each) for each in judged if each.centre.role == _ROLES[0]]
                pooled.append(self._pool(judge, judged, roles=_ROLES[1:]))
            if own:
                pooled.append(self._pool(own[0][0], [each for _, each in own]))
        else:
            judge, judged = self._train_together()
            self._keep(judge, judged, written, model="")
            pooled.append(self._pool(judge, judged))
        return self._result(written, pooled)

    def _train_alone(self, site: str, place: int) -> tuple[Judge, list[Judgement]]:
        """One site's model, judged where a site would use it and where newcomers might."""
        centres = [c for c in self._centres if c.name == site or c.role == "unseen"]
        judge = self._judge(centres)
        result = self._simulate({site: self._data[site]}, judge, place, len(self._sites))
        return judge, self._judge_end(judge, result)

    def _train_together(self) -> tuple[Judge, list[Judgement]]:
        judge = self._judge(self._centres)
        if self._job.scope == "central":
            result = self._simulate({"central": _joined(self._data.values())}, judge, 0, 1)
        else:
            result = self._simulate(self._data, judge, 0, 1)
        return judge, self._judge_end(judge, result)

    def _simulate(
        self, data: Mapping[str, CentreData], judge: Judge, place: int, of: int
    ) -> SimulationResult:
        self._generator.load_shared_state(self._initial)
        self._generator.load_specialized_state(None)
        passes = self._config.training.rounds * self._uplink.passes
        judging_s = 0.0

        def on_round(done: SimulatedRound) -> None:
            nonlocal judging_s
            start = time.monotonic()
            number, rest = divmod(done.number, self._uplink.passes)
            if rest == 0 and self._is_due(number):
                self._judge_curve(judge, number, done)
            share = (place + 0.9 * done.number / passes) / of
            self._progress(share, f"round {-(-done.number // self._uplink.passes)}")
            judging_s += time.monotonic() - start

        start = time.monotonic()
        result = simulate_federation(
            self._generator,
            {site: each.train for site, each in data.items()},
            self._config,
            validation={site: each.validation for site, each in data.items()},
            weights=_weights(self._config, data),
            on_round=on_round,
        )
        self._train_s += time.monotonic() - start - judging_s
        return result

    def _is_due(self, number: int) -> bool:
        every = self._job.curve_every
        last = number == self._config.training.rounds
        return self._job.scope == "federated" and every > 0 and number % every == 0 and not last

    def _judge_curve(self, judge: Judge, number: int, done: SimulatedRound) -> None:
        config = self._config
        shapes = {name: value.shape for name, value in self._initial.items()}
        factorization = make_factorization(config.update, shapes)
        self._generator.load_shared_state(factorization.model_state(done.state))
        count = config.evaluation.records_per_centre
        judged = judge.judge(count, _specialized(done.memories))
        self._add_to_curve(number, judge, judged)

    def _add_to_curve(self, number: int, judge: Judge, judged: Sequence[Judgement]) -> None:
        count = self._config.evaluation.records_per_centre
        point: dict[str, Any] = {
            "round": number,
            "uplink_bytes": number * self._uplink.bytes_per_round,
        }
        self._curve.append(point | self._pool(judge, judged, count=count))

    def _judge_end(self, judge: Judge, result: SimulationResult) -> list[Judgement]:
        self._progress(0.95, "judging")
        self._generator.load_shared_state(result.model_state)
        own = _specialized(result.memories)
        for site, state in own.items():
            self._generator.load_specialized_state(state)
            self._mixes[site] = float(self._generator.mix)
        judged = judge.judge(self._most, own)
        if self._job.scope == "federated" and self._job.curve_every:
            self._add_to_curve(self._config.training.rounds, judge, judged)
        return judged

    def _judge(self, centres: Sequence[Centre]) -> Judge:
        self._generator.eval()
        return Judge(self._generator, centres, image_size=self._config.data.image_size)

    def _keep(
        self,
        judge: Judge,
        judged: Sequence[Judgement],
        written: Mapping[str, list[Written]],
        *,
        model: str,
    ) -> None:
        for each in judged:
            metrics = judge.score([each], self._most)
            written[each.centre.name].append(Written(model, each.reports, metrics))

    def _pool(
        self,
        judge: Judge,
        judged: Sequence[Judgement],
        *,
        count: int | None = None,
        roles: Sequence[str] = _ROLES,
    ) -> dict[str, Metrics]:
        """Role -> metrics of all its centres' records as one set."""
        found = {role: [each for each in judged if each.centre.role == role] for role in roles}
        return {
            role: judge.score(each, self._most if count is None else count)
            for role, each in found.items()
            if each
        }

    def _result(
        self, written: Mapping[str, list[Written]], pooled: Sequence[Mapping[str, Metrics]]
    ) -> JobResult:
        job, config = self._job, self._config
        sent = self._uplink if job.scope == "federated" else Uplink(0, 0, 0)
        counts = self._generator.parameter_counts
        return JobResult(
            digest=job.digest,
            task=job.task,
            method=job.method,
            seed=config.seed,
            split=job.split,
            centres=tuple(_kept(centre, written[centre.name]) for centre in self._centres),
            pooled={
                role: _mean([each[role] for each in pooled if role in each])
                for role in _ROLES
                if any(role in each for each in pooled)
            },
            curve=tuple(self._curve),
            mixes=self._mixes,
            training_records={site: len(each.train) for site, each in self._data.items()},
            rounds=config.training.rounds,
            passes=sent.passes,
            values_sent=sent.values_per_round,
            shared_values=counts.shared,
            total_values=counts.total,
            uplink_bytes=sent.bytes_per_round * config.training.rounds,
            train_s=round(self._train_s, 3),
            wall_s=round(time.monotonic() - self._started, 3),
            config=config.model_dump(mode="json"),
            versions={"fedmrg-secure": __version__}
            | {name: metadata.version(name) for name in _VERSIONED},
        )


def _kept(centre: Centre, written: Sequence[Written]) -> CentreResult:
    return CentreResult(
        name=centre.name,
        title=centre.title,
        role=centre.role,
        records=tuple(record.record_id for record in centre.records),
        patients=tuple(record.patient_id for record in centre.records),
        references=tuple(record.report for record in centre.records),
        written=tuple(written),
    )


def _mean(metrics: Sequence[Metrics]) -> dict[str, float]:
    names = [name for name in metrics[0] if all(name in each for each in metrics)]
    return {name: sum(each[name] for each in metrics) / len(metrics) for name in names}


def _joined(data: Sequence[CentreData] | Any) -> CentreData:
    def all_of(split: str) -> tuple[Record, ...]:
        return tuple(record for each in data for record in getattr(each, split))

    return CentreData("central", "all sites", all_of("train"), all_of("validation"), ())


def _weights(config: RunConfig, data: Mapping[str, CentreData]) -> dict[str, Fraction] | None:
    """As a real run weighs its sites, see `federation.plan`."""
    if config.update.weighting == "uniform":
        return None
    counts = {site: max(1, len(each.train)) for site, each in data.items()}
    return {site: Fraction(count, max(counts.values())) for site, count in counts.items()}


def _specialized(memories: Mapping[str, State]) -> dict[str, State]:
    own = {
        site: {name: value for name, value in memory.items() if name.startswith("specialized.")}
        for site, memory in memories.items()
    }
    return {site: state for site, state in own.items() if state}


def main() -> None:
    """Run the job on standard input; exit code 1 with the reason on standard error."""
    from fedmrg_secure.core.errors import FedmrgError

    job = Job.from_json(json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)

    def progress(share: float, doing: str) -> None:
        print(json.dumps({"share": share, "doing": doing}), flush=True)  # noqa: T201

    try:
        ResultFolder(Path(sys.argv[1])).write(job, run_job(job, progress))
    except FedmrgError as error:
        print(error.explain(), file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue
    os._exit(1)


if __name__ == "__main__":
    main()
