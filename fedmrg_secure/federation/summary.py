"""What a finished run comes to: one JSON object made from its plan and its metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from fedmrg_secure.audit_log.ledgers import doubted_ledgers
from fedmrg_secure.audit_log.recompute import VerifiedLog
from fedmrg_secure.audit_log.verify import verify_run
from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.federation.plan import RunPlan
from fedmrg_secure.federation.privacy_spent import privacy_spent
from fedmrg_secure.federation.run_folder import RunFolder
from fedmrg_secure.protocol.manifest import SessionManifest

Row = Mapping[str, Any]


def summarise(
    config: RunConfig,
    plan: RunPlan,
    folder: RunFolder,
    *,
    seconds: float,
    peak_memory_bytes: int,
) -> dict[str, Any]:
    """The run's summary; what the evaluator has put into ``summary.json`` before stays.

    Args:
        seconds: wall time of the whole run.
        peak_memory_bytes: largest sum of resident memory over the run's processes.
    """
    rows = folder.read_metrics()
    rounds = [row for row in rows if row["kind"] == "round"]
    logs = verify_run(folder.root)
    return {
        **folder.read_summary(),
        "run": config.name,
        "status": "finished",
        "rounds": config.training.rounds,
        "passes": plan.passes,
        "factorization": config.update.factorization,
        "sites": list(plan.sites),
        "unseen": list(plan.unseen),
        "communication": {
            "parameters_sent": plan.values_sent,
            "parameters_total": plan.counts.total,
            "parameters_plain_lora": plan.counts.plain_lora,
            "bytes_up_per_round_per_site": plan.passes * _mean_bytes(rounds, "up"),
            "bytes_down_per_round_per_site": plan.passes * _mean_bytes(rounds, "down"),
            "total_bytes": sum(row["bytes"]["up"] + row["bytes"]["down"] for row in rounds),
        },
        "seconds": {"total": round(seconds, 2), "by_phase": _phase_seconds(rounds)},
        "peak_memory_mb": round(peak_memory_bytes / 2**20, 1),
        "scheme": plan.scheme_facts(),
        **_privacy(config, plan, folder, logs),
        "log": {log.party: {"size": log.size, "root": log.root_hex} for log in logs},
    }


def _privacy(
    config: RunConfig, plan: RunPlan, folder: RunFolder, logs: Sequence[VerifiedLog]
) -> dict[str, Any]:
    if config.privacy is None:
        return {}
    session = SessionManifest.read(folder.coordinator / "session.json").session_id.hex()
    folders = {site: folder.site(site) for site in plan.sites}
    return {
        "privacy": privacy_spent(config, session, folders),
        "ledgers_discontinued": [asdict(each) for each in doubted_ledgers(logs)],
    }


def _mean_bytes(rounds: Sequence[Row], direction: str) -> int:
    return round(fmean(row["bytes"][direction] for row in rounds)) if rounds else 0


def _phase_seconds(rounds: Sequence[Row]) -> dict[str, float]:
    """Seconds by phase, summed over rounds, mean over sites."""
    sums: dict[str, float] = defaultdict(float)
    for row in rounds:
        for phase, seconds in row["seconds"].items():
            sums[phase] += seconds
    sites = len({row["site"] for row in rounds}) or 1
    return {phase: round(total / sites, 3) for phase, total in sums.items()}
