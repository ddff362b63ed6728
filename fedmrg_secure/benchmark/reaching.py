"""How many bytes a site has sent by the time the model is as good as `fedavg` ends up."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedmrg_secure.benchmark.jobs import JobResult
from fedmrg_secure.benchmark.methods import REFERENCE

METRICS: Final = ("ce_rule_f1_macro", "bleu4")
ROLES: Final = ("participating", "unseen")


def bytes_to_reach(
    results: Mapping[str, Sequence[JobResult]], communication: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """For each federated method the first point of its curve that reaches the reference's last.

    Curves are means over seeds, of the same small part of the test records at every point; both
    paths of a method with two adapters are judged as they are before the mix is tuned.

    Args:
        results: method -> results; without the reference, or without curves, nothing is found.
        communication: rows of `communication.communication_rows`. Those that are computed stand
            beside the methods with the bytes of as many rounds as the reference takes.

    Returns:
        Rows with ``method``, ``computed``, ``role``, ``metric``, ``target``, and ``round`` and
        ``uplink_bytes`` of one site, both null where the target is never reached.
    """
    if REFERENCE not in results or not results[REFERENCE][0].curve:
        return []
    rows = []
    for role in ROLES:
        for metric in METRICS:
            reference = _mean_curve(results[REFERENCE], role, metric)
            if not reference:
                continue
            target = reference[-1][2]
            for method, found in results.items():
                curve = _mean_curve(found, role, metric)
                if not curve:
                    continue
                first = next((point for point in curve if point[2] >= target), None)
                rows.append(
                    {
                        "method": method,
                        "computed": False,
                        "role": role,
                        "metric": metric,
                        "target": target,
                        "round": first[0] if first else None,
                        "uplink_bytes": first[1] if first else None,
                    }
                )
            number = next(point[0] for point in reference if point[2] >= target)
            rows += [
                {
                    "method": row["name"],
                    "computed": True,
                    "role": role,
                    "metric": metric,
                    "target": target,
                    "round": number,
                    "uplink_bytes": number * row["bytes"],
                }
                for row in communication
                if row["computed"]
            ]
    return rows


def _mean_curve(found: Sequence[JobResult], role: str, metric: str) -> list[tuple[int, int, float]]:
    """(round, bytes, mean over seeds), by round."""
    curves = [
        [
            (point["round"], point["uplink_bytes"], point[role][metric])
            for point in result.curve
            if metric in point.get(role, {})
        ]
        for result in found
    ]
    return [
        (points[0][0], points[0][1], statistics.fmean(point[2] for point in points))
        for points in zip(*curves, strict=False)
    ]
