"""One site over rounds: what it remembers, what it sends, and how it chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.types import Status
from fedmrg_secure.data.records import Record
from fedmrg_secure.model.contrast import head_anchors
from fedmrg_secure.model.errors import StateMismatch
from fedmrg_secure.model.report_generator import (
    PROTOTYPES,
    ReportGenerator,
    build_report_generator,
)
from fedmrg_secure.training.batches import ImageCache, make_batch
from fedmrg_secure.training.mixing import MIXES, mix_losses
from fedmrg_secure.training.site_trainer import SiteTrainer
from fedmrg_secure.training.trainer import train_locally
from fedmrg_secure.update.clipping import l2_norm
from fedmrg_secure.update.factorization import Factorization, make_factorization

State = dict[str, np.ndarray]
FACTORIZATIONS = ("ffa", "fedsvd", "rolora", "fedsb", "powersgd")


def _config(
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    update: dict[str, Any] | None = None,
) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "one-site",
            "seed": 4,
            "data": {"source": "phantom", "image_size": 32},
            "model": {"feature_width": 16, "visual_tokens": 4, **(model or {})},
            "training": {"local_steps": 2, "batch_size": 4, **(training or {})},
            "update": {"rank": 2, "clip_norm": 50.0, **(update or {})},
            "secure_aggregation": {"scheme": "ckks-shared", "acknowledge_collusion_risk": True},
        }
    )


def _site(
    run: RunConfig,
    records: tuple[Record, ...],
    generator: ReportGenerator | None = None,
    name: str = "a",
) -> tuple[SiteTrainer, ReportGenerator, Factorization, State]:
    if generator is None:
        generator = build_report_generator(run.model, run.update, image_size=32, seed=run.seed)
    shared = generator.shared_state()
    factorization = make_factorization(run.update, {n: v.shape for n, v in shared.items()})
    trainer = SiteTrainer(name, generator, records, records[:3], run, factorization)
    return trainer, generator, factorization, dict(factorization.initial(shared))


def _go_on(
    trainer: SiteTrainer, factorization: Factorization, state: State, numbers: range
) -> tuple[State, list[np.ndarray]]:
    vectors = []
    for number in numbers:
        vector = trainer.train_round(number, state).vector
        after = dict(factorization.apply(number, state, vector))
        trainer.settle(number, state, after, included=True)
        vectors.append(vector)
        state = after
    return state, vectors


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_a_restarted_site_goes_on_as_if_nothing_had_happened(
    records: tuple[Record, ...], name: str
) -> None:
    """From its memory alone. What is not kept is the optimiser's moments, so they start anew on
    both sides here."""
    run = _config(update={"factorization": name, "refactor_every": 1})
    first, _, factorization, state = _site(run, records)
    middle, _ = _go_on(first, factorization, state, range(1, 2 * factorization.passes + 1))
    memory = {key: value.copy() for key, value in first.memory.items()}
    ends = []
    for _ in range(2):
        again, generator, _, _ = _site(run, records)
        random = np.random.default_rng(0)
        generator.load_specialized_state(  # whatever the model held before
            {n: random.normal(size=v.shape).astype(np.float32)
             for n, v in generator.specialized_state().items()}
        )  # fmt: skip
        again.load_memory({key: value.copy() for key, value in memory.items()})
        assert again.memory.keys() == memory.keys()
        begin = 2 * factorization.passes + 1
        numbers = range(begin, begin + factorization.passes)
        end, vectors = _go_on(again, factorization, middle, numbers)
        ends.append((end, vectors, again.memory))
    for one, two in zip(ends[0][1], ends[1][1], strict=True):
        assert np.array_equal(one, two)
    assert all(np.array_equal(ends[0][0][n], ends[1][0][n]) for n in ends[0][0])
    assert all(np.array_equal(ends[0][2][n], ends[1][2][n]) for n in ends[0][2])
    assert any(not np.array_equal(memory[n], ends[0][2][n]) for n in memory)


def test_another_models_memory_is_refused(records: tuple[Record, ...]) -> None:
    trainer, _, _, _ = _site(_config(), records)
    other, _, _, _ = _site(_config(update={"rank": 4}), records)
    before = trainer.memory
    with pytest.raises(StateMismatch):
        trainer.load_memory(other.memory)
    after = trainer.memory
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_sites_that_take_turns_on_one_model_do_not_meet(records: tuple[Record, ...]) -> None:
    """Their specialized parts are as if each had a model of its own."""
    run = _config(training={"boost_warmup": 1})
    alone = []
    for name in ("a", "b"):
        trainer, _, factorization, state = _site(run, records, name=name)
        trainer.train_round(1, state)
        alone.append(trainer.memory)
    first, generator, factorization, state = _site(run, records, name="a")
    second = SiteTrainer("b", generator, records, (), run, factorization)
    first.train_round(1, state)
    second.train_round(1, state)
    for together, expected in zip((first.memory, second.memory), alone, strict=True):
        assert together.keys() == expected.keys()
        assert all(np.array_equal(together[n], expected[n]) for n in expected)
    assert any(not np.array_equal(first.memory[n], second.memory[n]) for n in first.memory)


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_an_update_is_bounded_and_holds_no_private_name(
    records: tuple[Record, ...], name: str
) -> None:
    run = _config({"anchors": "prototype"}, update={"factorization": name, "clip_norm": 0.2})
    trainer, _, factorization, state = _site(run, records)
    _, vectors = _go_on(trainer, factorization, state, range(1, factorization.passes + 1))
    for vector in vectors:
        assert 0 < l2_norm(vector) <= 0.2
    sent = {n.split("#")[0] for layout in factorization.layouts for n, _ in layout.entries}
    assert not [n for n in sent if n.startswith(("specialized", "feedback", "drift", "carry"))]
    assert PROTOTYPES in sent
    assert {n for n in trainer.memory if n.startswith("specialized.")} >= {
        "specialized.anchors",
        "specialized.mix",
    }


def test_prototypes_are_sent_as_means_of_norm_at_most_one(records: tuple[Record, ...]) -> None:
    """The literal sum over the site's records by the model that it trained."""
    run = _config({"anchors": "prototype"}, {"local_steps": 3}, {"factorization": "ffa"})
    trainer, generator, factorization, state = _site(run, records)
    vector = trainer.train_round(1, state).vector
    found = factorization.layouts[0].unflatten(vector[: factorization.layouts[0].size])[PROTOTYPES]
    batch = make_batch(records, ImageCache(32), generator)
    z_g, z_s = generator.features(batch.images)
    assert z_s is not None
    sums, own = np.zeros(found.shape), np.zeros(found.shape)
    for row, statuses in enumerate(batch.statuses):
        positive = [c for c, status in enumerate(statuses) if status == Status.POSITIVE]
        for c in positive:
            sums[c] += z_g[row].numpy() / len(positive) ** 0.5
            own[c] += z_s[row].numpy() / len(positive) ** 0.5
    np.testing.assert_allclose(found, sums / len(records), atol=1e-5)
    assert np.linalg.norm(found) <= 1
    norms = np.linalg.norm(own, axis=1, keepdims=True)
    expected = own / np.where(norms > 0, norms, 1)
    np.testing.assert_allclose(trainer.memory["specialized.anchors"], expected, atol=1e-4)


def test_a_sites_own_anchors_are_of_its_head_before_adding(records: tuple[Record, ...]) -> None:
    trainer, generator, _, state = _site(_config(), records)
    trainer.train_round(1, state)
    own = trainer.memory["specialized.anchors"]
    assert np.array_equal(own, head_anchors(generator.diagnosis, 16).numpy())
    generator.load_shared_state(state)
    assert not np.array_equal(own, generator.anchors.numpy())


def test_the_mix_is_the_best_of_all(records: tuple[Record, ...]) -> None:
    """By brute force over the validation reports, one at a time."""
    run = _config(training={"local_steps": 12, "boosting": "none", "adapter_learning_rate": 0.02})
    trainer, generator, factorization, state = _site(run, records)
    state, _ = _go_on(trainer, factorization, state, range(1, 3))
    chosen = trainer.tune_mix(state)
    losses = []
    for mix in MIXES:
        total = 0.0
        for record in records[:3]:
            batch = make_batch([record], ImageCache(32), generator)
            generic, specialized = generator.path_logits(batch.images, batch.reports)
            assert specialized is not None
            mixed = (1 - mix) * generic + mix * specialized
            target = batch.reports.packed_targets
            total += float(torch.nn.functional.cross_entropy(mixed, target))
        losses.append(total / 3)
    assert chosen == MIXES[int(np.argmin(losses))]
    assert max(losses) - min(losses) > 1e-3
    whole = mix_losses(generator, [make_batch(records[:3], ImageCache(32), generator)])
    np.testing.assert_allclose(whole, losses, rtol=1e-4)
    assert float(trainer.memory["specialized.mix"][0]) == chosen == float(generator.mix)


def test_without_validation_a_site_trusts_its_own_path(records: tuple[Record, ...]) -> None:
    run = _config()
    trainer, generator, factorization, state = _site(run, records)
    blind = SiteTrainer("b", generator, records, (), run, factorization)
    assert blind.tune_mix(state) == 1.0
    single = _config({"adapters": "generic"})
    trainer, _, _, state = _site(single, records)
    assert trainer.tune_mix(state) == 0.0
    assert not trainer.memory


@pytest.mark.parametrize("boosting", ["mutual", "one_way"])
def test_a_new_centre_trains_its_own_part_alone(records: tuple[Record, ...], boosting: str) -> None:
    run = _config(training={"boosting": boosting, "local_steps": 4})
    _, generator, _, _ = _site(run, records)
    generator.set_trainable(frozenset())
    shared, own = generator.shared_state(), generator.specialized_state()
    everything = {name: p.detach().clone() for name, p in generator.named_parameters()}
    train_locally(generator, records, run.training, image_size=32, seed=1)
    after = generator.shared_state()
    assert all(np.array_equal(after[name], shared[name]) for name in shared)
    changed = {
        name
        for name, parameter in generator.named_parameters()
        if not torch.equal(parameter, everything[name])
    }
    assert changed
    assert all("specialized" in name for name in changed)
    assert len(changed) == len(generator.specialized_parameters())
    now = generator.specialized_state()
    assert np.array_equal(now["specialized.mix"], own["specialized.mix"])


def test_a_refactoring_changes_no_report(records: tuple[Record, ...]) -> None:
    """Of the real decoder: both of its paths write the same before and after."""
    run = _config(update={"factorization": "fedsvd", "refactor_every": 2})
    trainer, generator, factorization, state = _site(run, records)
    state, _ = _go_on(trainer, factorization, state, range(1, 2))
    turned = factorization.apply(2, state, np.zeros(factorization.vector_size))
    batch = make_batch(records[:2], ImageCache(32), generator)
    paths = []
    for shared in (state, turned):
        generator.load_shared_state(shared)
        paths.append(generator.path_logits(batch.images, batch.reports))
    downs = [name for name in state if name.endswith(".lora_A")]
    assert all(not np.allclose(state[name], turned[name], atol=1e-3) for name in downs)
    for before, after in zip(*paths, strict=True):
        assert before is not None
        torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["fedsvd", "powersgd"])
@pytest.mark.parametrize("included", [True, False])
def test_passes_that_are_skipped_leave_the_memory_that_going_through_them_leaves(
    records: tuple[Record, ...], name: str, included: bool
) -> None:
    """But for the drift of the first skipped pass, which is forgotten."""
    run = _config(
        training={"drift_correction": 0.5}, update={"factorization": name, "refactor_every": 1}
    )
    trainer, _, factorization, state = _site(run, records)
    begin = 2 * factorization.passes
    base, _ = _go_on(trainer, factorization, state, range(1, begin))
    trainer.train_round(begin, base)  # its vector is sent, then the site is away
    memory, random = trainer.memory, np.random.default_rng(3)
    through, _, _, _ = _site(run, records)
    through.load_memory(memory)
    after = base
    for number in range(begin, begin + 3):
        mean = random.normal(size=factorization.vector_size) / 100
        before, after = after, dict(factorization.apply(number, after, mean))
        factorization.settle(number, before, through._memory, included=included and number == begin)
    over, _, _, _ = _site(run, records)
    over.load_memory(memory)
    over.skip(range(begin, begin + 3), base, after, included=included, forget=False)
    kept = {n: v for n, v in over.memory.items() if not n.startswith("drift.")}
    assert kept.keys() == {n for n in through.memory if not n.startswith("drift.")}
    for key, value in kept.items():
        np.testing.assert_array_equal(value, through.memory[key], err_msg=key)
    assert not [n for n in over.memory if n.startswith("drift.own.")]
    drifts = [n for n in memory if n.startswith("drift.mean.")]
    assert drifts
    for key in drifts:
        tensor = key.removeprefix("drift.mean.")
        expected = factorization.carried(tensor, memory[key].astype(np.float64), base, after)
        np.testing.assert_allclose(over.memory[key], expected, atol=1e-6)


def test_an_old_memory_forgets_what_may_be_in_a_sum(records: tuple[Record, ...]) -> None:
    run = _config(training={"drift_correction": 0.5}, update={"factorization": "powersgd"})
    trainer, _, factorization, state = _site(run, records)
    base, _ = _go_on(trainer, factorization, state, range(1, 3))
    before = trainer.memory
    assert {n.split(".")[0] for n in before} == {"specialized", "feedback", "drift"}
    trainer.skip(range(3, 7), base, base, included=True, forget=True)
    assert trainer.memory.keys() == {n for n in before if n.startswith("specialized.")}
    assert all(np.array_equal(trainer.memory[n], before[n]) for n in trainer.memory)
