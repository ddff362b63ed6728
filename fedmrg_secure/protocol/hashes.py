"""Hashes that bind a round's records together; every party computes them for itself and logs them.

Values are hashed as RFC 8785 JSON: byte strings as lower-case hex, tuples as arrays, field names as
in `messages.proto`.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Final

from fedmrg_secure.core.canonical import JsonValue, hash_json, tagged_hash
from fedmrg_secure.protocol.certified import Cohort, Inclusion
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan

PLAN_TAG: Final = "fedmrg/plan/v1"
AGGREGATE_TAG: Final = "fedmrg/aggregate/v1"
COHORT_TAG: Final = "fedmrg/cohort/v1"
INCLUSION_TAG: Final = "fedmrg/inclusion/v1"
TRANSCRIPT_TAG: Final = "fedmrg/transcript/v1"
KEY_MAKER_TAG: Final = "fedmrg/key-maker/v1"


def plan_hash(session: bytes, plan: RoundPlan) -> bytes:
    """What uploads and acknowledgements of the round refer to, 32 bytes."""
    return hash_json(PLAN_TAG, {"session": session.hex(), "plan": to_json(plan)})


def aggregate_hash(session: bytes, aggregate: AggregateInfo) -> bytes:
    """Binds included set, weights, uploads and sum, 32 bytes."""
    return hash_json(AGGREGATE_TAG, {"session": session.hex(), "aggregate": to_json(aggregate)})


def cohort_hash(session: bytes, cohort: Cohort) -> bytes:
    """What sites co-sign before they upload, 32 bytes."""
    return hash_json(COHORT_TAG, {"session": session.hex(), "cohort": to_json(cohort)})


def inclusion_hash(session: bytes, inclusion: Inclusion) -> bytes:
    """What sites co-sign before they open anything, 32 bytes."""
    return hash_json(INCLUSION_TAG, {"session": session.hex(), "inclusion": to_json(inclusion)})


def transcript_hash(previous: bytes, plan: bytes, aggregate: bytes, model: bytes) -> bytes:
    """The closed round's transcript, 32 bytes: it enters the next plan as `previous_transcript`.

    Args:
        previous: the plan's `previous_transcript`.
        plan: `plan_hash` of the round.
        aggregate: `aggregate_hash` of the round.
        model: the model hash that the included sites acknowledged.
    """
    return tagged_hash(TRANSCRIPT_TAG, previous, plan, aggregate, model)


def to_json(value: Any) -> JsonValue:
    """A message (a dataclass of integers, strings, bytes, tuples and such) as JSON."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, bool | str | int) or value is None:
        return value
    raise TypeError(f"{type(value).__name__} has no place in a message")
