"""Download, open, check and apply the sum of a round: in a round, and when catching up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fedmrg_secure.client.policy import AggregateRefused, weight_share
from fedmrg_secure.client.progress import Stopwatch
from fedmrg_secure.client.site import Site
from fedmrg_secure.client.state import Applied, hash_state
from fedmrg_secure.core.ahead import map_ahead
from fedmrg_secure.core.types import IntVector, ResidueVector
from fedmrg_secure.crypto.errors import OpeningRefused
from fedmrg_secure.crypto.frame import AGGREGATE, Frame, FrameHeader, decode_frame
from fedmrg_secure.crypto.scheme import Scheme
from fedmrg_secure.protocol.hashes import aggregate_hash, transcript_hash
from fedmrg_secure.protocol.messages import AggregateInfo
from fedmrg_secure.update.clipping import l2_norm

State = Mapping[str, npt.NDArray[np.float32]]


def open_sum(site: Site, scheme: Scheme, aggregate: AggregateInfo, watch: Stopwatch) -> IntVector:
    """The sum in grid steps, shape (vector_size,), opened frame by frame as it comes in.

    Raises:
        AggregateRefused: it has another number of chunks than this session's sums; nothing was
            downloaded.
        OpeningRefused: the sum was altered or is under another key. A shared key is spoiled:
            refusing tells whoever altered the sum one bit, so there is no second try, restart or
            not. A round's key serves one sum anyway.
    """
    _check_chunks(site, aggregate)
    try:
        return _open_frames(site, scheme, aggregate, watch)
    except OpeningRefused:
        if site.manifest.shared_key:
            site.store.spoil_key(aggregate.key_epoch)
        raise


def _check_chunks(site: Site, aggregate: AggregateInfo) -> None:
    listed = len(aggregate.chunk_hashes)
    expected = site.parameters.chunk_count(site.factorization.vector_size)
    if listed != expected:
        raise AggregateRefused(
            f"the sum of round {aggregate.round} has {listed} chunks, those of this session have "
            f"{expected}",
            hint="do not go on with this coordinator before it has been looked into",
        )


def _open_frames(
    site: Site, scheme: Scheme, aggregate: AggregateInfo, watch: Stopwatch
) -> IntVector:
    parameters, size = scheme.parameters, site.factorization.vector_size
    contributors = len(aggregate.included)
    total = np.empty(size, dtype=np.int64)
    done = 0

    def tell(frame_bytes: int) -> None:
        nonlocal done
        done += frame_bytes
        site.progress.transfer(done, aggregate.total_bytes)

    def frames() -> Iterator[tuple[int, bytes]]:
        downloaded = site.coordinator.download(aggregate, on_progress=tell)
        for index in range(parameters.chunk_count(size)):
            with watch.measure("download"):
                frame = next(downloaded)
            yield index, frame

    def open_frame(numbered: tuple[int, bytes]) -> None:
        index, frame_bytes = numbered
        frame = read_frame(site, aggregate, index, frame_bytes)
        place = parameters.chunk_slice(index, size)
        total[place] = scheme.open_chunk(
            index,
            frame.residues,
            frame.openers_by_contributor(contributors),
            place.stop - place.start,
        )

    workers = None if scheme.is_concurrent else 1
    with watch.measure("open"):
        for _ in map_ahead(open_frame, frames(), workers=workers):
            pass
    return total


def last_residues(site: Site, aggregate: AggregateInfo) -> ResidueVector:
    """The residues of the sum's last chunk, which has the check block: fetched by itself.

    Raises:
        AggregateRefused: see `open_sum`.
    """
    _check_chunks(site, aggregate)
    last = site.parameters.chunk_count(site.factorization.vector_size) - 1
    (frame_bytes,) = site.coordinator.download(aggregate, first_chunk=last)
    return read_frame(site, aggregate, last, frame_bytes).residues


def read_frame(site: Site, aggregate: AggregateInfo, index: int, frame_bytes: bytes) -> Frame:
    """One frame of the sum, held against the only header that it may have.

    Raises:
        FrameError: see `decode_frame`.
    """
    header = FrameHeader.of_chunk(
        site.parameters,
        session=site.session,
        round=aggregate.round,
        sender=AGGREGATE,
        chunk_index=index,
        value_count=site.factorization.vector_size,
        contributors=len(aggregate.included),
    )
    return decode_frame(frame_bytes, header)


def apply_sum(
    site: Site,
    aggregate: AggregateInfo,
    base: State,
    total: IntVector,
    applied: Applied,
    *,
    expected: bytes | None = None,
) -> Applied:
    """Check the opened sum, apply its mean to the public state, settle the site's own memory.

    All of it is durable on return, and nothing of it where this raises.

    Args:
        expected: hash of the model that the others have reached with this sum, 32 bytes; None while
            the round is open and nobody has said so yet.

    Raises:
        AggregateRefused: its norm is beyond what the included sites may have sent, or it leads to
            another model than the expected one.
    """
    shares = [weight_share(entry.weight, site.manifest.weights) for entry in aggregate.included]
    total_weight = sum(shares, Fraction(0))
    mean = site.codec.decode(total, total_weight)
    # Rounding to the grid adds at most half a step a coordinate and site, encryption its bound.
    steps = len(shares) / 2 + site.parameters.sum_error_bound(len(shares))
    slack = steps * site.codec.step * float(np.sqrt(total.size))
    bound = site.codec.clip_norm + slack / float(total_weight)
    if (norm := l2_norm(mean)) > bound * (1 + 1e-9):
        raise AggregateRefused(
            f"the mean update of round {aggregate.round} has norm {norm:.6g}, "
            f"clipped updates allow at most {bound:.6g}",
            hint="a site or the coordinator does not follow the protocol; stop the session",
        )
    number = applied.training_round + 1
    state = site.factorization.apply(number, base, mean)
    model_hash = hash_state(state)
    if expected is not None and model_hash != expected.hex():
        raise AggregateRefused(
            f"the sum of round {aggregate.round} does not lead to the federation's model",
            hint="compare the logs of the sites: fedmrg log verify",
        )
    aggregate_digest = aggregate_hash(site.session, aggregate)
    transcript = transcript_hash(
        bytes.fromhex(applied.transcript),
        aggregate.plan_hash,
        aggregate_digest,
        bytes.fromhex(model_hash),
    )
    after = Applied(
        session=applied.session,
        round=aggregate.round,
        training_round=number,
        plan_hash=aggregate.plan_hash.hex(),
        model_hash=model_hash,
        transcript=transcript.hex(),
    )
    site.log(
        {
            "type": "aggregate.opened",
            "round": aggregate.round,
            "aggregate_hash": aggregate_digest.hex(),
            "model_hash": model_hash,
            "transcript_hash": transcript.hex(),
        }
    )
    _settle_memory(site, aggregate, base, state, applied)
    site.store.save_applied(after, state)
    site.private.keep_only(number)
    return after


def _settle_memory(
    site: Site, aggregate: AggregateInfo, base: State, after: State, applied: Applied
) -> None:
    """Keep the memory after the pass; repeated after a kill it comes to the same."""
    number = applied.training_round + 1
    kept = site.private.update(number, applied.model_hash)
    site.trainer.load_memory(site.private.load(number - 1) if kept is None else kept.memory)
    included = any(entry.site == site.name for entry in aggregate.included)
    site.trainer.settle(number, base, after, included=included)
    site.private.save(number, site.trainer.memory)
