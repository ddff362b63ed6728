"""What one job does, on real if tiny trainings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fedmrg_secure.benchmark.job_process import run_job
from fedmrg_secure.benchmark.jobs import Job, JobResult, ResultFolder, ResultUnreadable, make_jobs
from fedmrg_secure.benchmark.methods import METHODS
from fedmrg_secure.benchmark.simulate import simulate_federation
from fedmrg_secure.benchmark.tasks import UnknownTrainingSite, load_task, training_sites
from fedmrg_secure.crypto.frame import vector_bytes
from fedmrg_secure.data.task import load_centre
from fedmrg_secure.evaluation.judging import Judge, load_centres
from fedmrg_secure.evaluation.scores import score_reports
from fedmrg_secure.federation.plan import make_plan
from fedmrg_secure.model.report_generator import build_report_generator

TINY = (
    "data.image_size=32",
    "data.patients_per_centre=10",
    "data.patients_per_unseen_centre=4",
    "training.rounds=2",
    "training.local_steps=1",
    "training.batch_size=2",
    "model.max_report_tokens=12",
    "federation.sites=[cedar-valley-clinic, lakeside-medical-center]",
    "federation.min_sites=2",
    "secure_aggregation.colluders=0",
)
SITES = ("cedar-valley-clinic", "lakeside-medical-center")


def tiny_job(method: str, *overrides: str, curve_every: int = 0) -> Job:
    task = load_task("phantom", overrides=(*TINY, *overrides))
    return make_jobs(
        task, [METHODS[method]], seeds=1, sites=2, split="test", curve_every=curve_every
    )[0]


def run(job: Job) -> JobResult:
    torch.set_num_threads(1)
    return run_job(job, lambda share, doing: None)


@pytest.fixture(scope="module")
def full() -> JobResult:
    return run(tiny_job("fedmrg", curve_every=1))


def test_a_federated_job_judges_every_centre_and_says_what_it_sent(full: JobResult) -> None:
    roles = {centre.name: centre.role for centre in full.centres}
    assert {name for name, role in roles.items() if role == "participating"} == set(SITES)
    assert list(roles.values()).count("unseen") == 2
    for centre in full.centres:
        assert len(centre.written) == 1
        written = centre.written[0]
        assert len(written.reports) == len(centre.references) == len(centre.records)
        for name, value in score_reports(centre.references, written.reports).items():
            assert written.metrics[name] == pytest.approx(value)
    assert set(full.mixes) == set(SITES)
    assert set(full.pooled) == {"participating", "unseen"}
    assert 0 < full.train_s < full.wall_s


def test_the_bytes_are_those_of_a_real_run(full: JobResult) -> None:
    plan = make_plan(tiny_job("fedmrg").config)
    frames = vector_bytes(plan.parameters, plan.factorization.vector_size, sender="site")
    named = plan.bytes_up - frames
    # A frame names its sender: the benchmark's has another length than the plan's.
    chunks = plan.parameters.chunk_count(plan.factorization.vector_size)
    assert named == chunks * (len(plan.sites[0]) - len("site"))
    assert full.uplink_bytes == 2 * frames


def test_the_curve_goes_on_to_the_end(full: JobResult) -> None:
    assert [point["round"] for point in full.curve] == [1, 2]
    assert full.curve[-1]["uplink_bytes"] == full.uplink_bytes
    assert full.curve[-1]["unseen"]["bleu4"] == pytest.approx(full.pooled["unseen"]["bleu4"])


def test_a_job_is_the_simulation_judged_once(full: JobResult) -> None:
    """Judging between rounds, for the curve, changes nothing."""
    config = tiny_job("fedmrg").config
    generator = build_report_generator(config.model, config.update, image_size=32, seed=config.seed)
    data = {site: load_centre(config.data, site) for site in SITES}
    result = simulate_federation(
        generator,
        {site: each.train for site, each in data.items()},
        config,
        validation={site: each.validation for site, each in data.items()},
    )
    own = {
        site: {name: value for name, value in memory.items() if name.startswith("specialized.")}
        for site, memory in result.memories.items()
    }
    generator.eval()
    centres = load_centres(config.data, at_most=200)
    judged = Judge(generator, centres, image_size=32).judge(200, own)
    again = {each.centre.name: each.reports for each in judged}
    for centre in full.centres:
        assert again[centre.name] == centre.written[0].reports


def test_local_is_one_model_a_site_and_nothing_is_sent() -> None:
    result = run(tiny_job("local"))
    models = {c.name: [each.model for each in c.written] for c in result.centres}
    for name, found in models.items():
        role = next(c.role for c in result.centres if c.name == name)
        assert found == ([name] if role == "participating" else list(SITES))
    assert {name for name, found in models.items() if len(found) == 1} == set(SITES)
    assert (result.uplink_bytes, result.curve, result.mixes) == (0, (), {})
    assert set(result.pooled) == {"participating", "unseen"}


def test_central_trains_one_model_on_all_records_with_as_many_steps() -> None:
    job = tiny_job("central")
    assert job.config.training.local_steps == 2
    result = run(job)
    assert all([each.model for each in centre.written] == [""] for centre in result.centres)
    assert result.uplink_bytes == 0


def test_two_passes_and_their_curve() -> None:
    result = run(tiny_job("fedmrg-powersgd", "training.rounds=1", curve_every=1))
    assert (result.passes, len(result.curve)) == (2, 1)
    assert result.curve[-1]["uplink_bytes"] == result.uplink_bytes > 0


def test_a_result_is_kept_whole_for_exactly_its_job(full: JobResult, tmp_path: Path) -> None:
    job = tiny_job("fedmrg", curve_every=1)
    folder = ResultFolder(tmp_path)
    assert folder.read(job) is None
    folder.write(job, full)
    assert folder.read(job) == full
    assert folder.read(tiny_job("fedmrg", "training.learning_rate=1", curve_every=1)) is None
    path = folder.path(job)
    whole = path.read_text("utf-8")
    assert json.loads(whole)["digest"] == job.digest
    path.write_text(whole[:100], encoding="utf-8")
    with pytest.raises(ResultUnreadable):
        folder.read(job)


def test_sites_that_do_not_participate_are_refused() -> None:
    config = load_task("phantom", overrides=["federation.sites=[mars, moon, sun]"])
    with pytest.raises(UnknownTrainingSite, match="mars, moon, sun"):
        training_sites(config.base)
