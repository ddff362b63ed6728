"""Results of jobs as a benchmark leaves them, with texts that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedmrg_secure.benchmark.jobs import CentreResult, JobResult, Written
from fedmrg_secure.evaluation.scores import score_reports

FINDINGS = ("pleural effusion", "cardiomegaly", "pneumothorax", "consolidation")
CENTRES = {"north": "participating", "south": "participating", "west": "unseen"}


def reference(index: int) -> str:
    """Report of record `index`; four kinds of them."""
    return f"There is a {FINDINGS[index % 4]} on the left side. No other finding is seen today."


def made_result(
    method: str,
    seed: int,
    texts: Mapping[str, Sequence[Sequence[str]]],
    *,
    uplink_bytes: int = 1000,
    curve: Sequence[Mapping[str, object]] = (),
) -> JobResult:
    """A result whose figures are those of the texts.

    Args:
        method, seed: of the job.
        texts: centre -> what each model wrote for its records.
        uplink_bytes, curve: as they are.
    """
    centres = tuple(
        CentreResult(
            name=name,
            title=name.title(),
            role=CENTRES[name],
            records=tuple(f"{name}-{i}" for i in range(len(written[0]))),
            patients=tuple(f"{name}-{i // 2}" for i in range(len(written[0]))),
            references=tuple(reference(i) for i in range(len(written[0]))),
            written=tuple(_written(str(i), reports) for i, reports in enumerate(written)),
        )
        for name, written in texts.items()
    )
    return JobResult(
        digest="",
        task="phantom",
        method=method,
        seed=seed,
        split="test",
        centres=centres,
        pooled={},
        curve=tuple(curve),
        mixes={},
        training_records={"north": 8, "south": 8},
        rounds=2,
        passes=1,
        values_sent=10,
        shared_values=10,
        total_values=100,
        uplink_bytes=uplink_bytes,
        train_s=1.0,
        wall_s=2.0,
        config={"update": {"factorization": "ffa", "rank": 8}},
        versions={"numpy": "2"},
    )


def right(count: int, correct: int) -> list[str]:
    """Reports for `count` records of which the first `correct` say what is there."""
    return [reference(i) if i < correct else reference(i + 1) for i in range(count)]


def _written(model: str, reports: Sequence[str]) -> Written:
    truth = [reference(i) for i in range(len(reports))]
    return Written(model, tuple(reports), score_reports(truth, reports))
