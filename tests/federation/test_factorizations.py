"""Real federations with other factorisations than the default, and what leaves their sites."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import load_file

from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.crypto.frame import FrameHeader, decode_frame
from fedmrg_secure.crypto.parameters import SchemeParameters
from fedmrg_secure.crypto.schemes import make_scheme
from fedmrg_secure.federation.plan import RunPlan, make_plan
from fedmrg_secure.protocol.manifest import SessionManifest
from tests.federation.runs import (
    PLAINTEXT,
    Run,
    SentUpdate,
    assert_is_simulated,
    sent_updates,
    start,
    stop,
    write_config,
)


class Watched:
    """A finished run of two passes a round without encryption, and the updates that were sent."""

    def __init__(self, run: Run, sent: list[SentUpdate]) -> None:
        self.folder, self.sent = run.folder, sent
        self.summary = run.summary()
        self.plan: RunPlan = make_plan(load_run_config(run.folder / "config.yaml"))
        self.session = SessionManifest.read(run.folder / "coordinator" / "session.json")
        self.scheme = make_scheme(SchemeParameters.from_json(self.session.scheme_parameters))

    def integers(self, sent: SentUpdate, number: int) -> np.ndarray:
        """The values that the frames carry, every byte of their headers compared."""
        values = np.zeros(self.session.value_count, dtype=np.int64)
        parameters = self.scheme.parameters
        assert len(sent.frames) == parameters.chunk_count(values.size)
        for index, content in enumerate(sent.frames):
            header = FrameHeader.of_chunk(
                parameters,
                session=self.session.session_id,
                round=number,
                sender=sent.site,
                chunk_index=index,
                value_count=values.size,
            )
            frame = decode_frame(content, header)
            place = parameters.chunk_slice(index, values.size)
            values[place] = self.scheme.open_chunk(
                index, frame.residues, frame.openers_by_contributor(1), place.stop - place.start
            )
        return values


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("powersgd")
    # On a fine grid two tensors do not share a stretch of values by chance.
    config = write_config(
        folder,
        update={"factorization": "powersgd", "precision_bits": 20},
        secure_aggregation=PLAINTEXT,
    )
    run = start(config, folder / "run")
    try:
        with sent_updates(run.folder) as sent:
            assert run.wait() == 0, run.text
        yield Watched(run, sent)
    finally:
        stop(run)


def test_two_passes_a_round_are_the_simulation(watched: Watched) -> None:
    assert (watched.plan.passes, watched.session.rounds) == (2, 4)
    assert watched.summary["rounds"] == 2
    assert_is_simulated(watched.folder)


def test_a_session_pins_what_is_sent_and_names_nothing_of_a_sites_own(watched: Watched) -> None:
    factorization = watched.plan.factorization
    assert watched.session.factorization_digest == factorization.digest
    assert watched.session.value_count == factorization.vector_size
    own = watched.plan.generator.specialized_state()
    assert len(own) > 10
    assert all(name.startswith("specialized.") for name in own)
    for layout in factorization.layouts:
        assert layout.size <= watched.session.value_count
        names = {name for name, _ in layout.entries}
        assert not [name for name in names if "specialized" in name]
    state = load_file(next(watched.folder.glob("sites/*/state/round-0004.safetensors")))
    assert not [name for name in state if "specialized" in name]


def test_every_frame_is_the_update_and_holds_nothing_of_a_sites_own(watched: Watched) -> None:
    """In the clear: the numbers of the frames are the update's, and no stretch of them, nor of the
    frames' bytes, is one of a tensor that must not leave."""
    one_a_pass = {pass_of(sent): sent for sent in watched.sent}
    assert {number % 2 for number in one_a_pass} == {0, 1}, "each kind of pass was seen"
    start_of_own = watched.plan.generator.specialized_state()
    for number, sent in one_a_pass.items():
        tensors = load_tensors(sent.private)
        values = watched.integers(sent, number)
        expected = watched.plan.codec.encode(tensors["vector"], Fraction(1))
        np.testing.assert_array_equal(values, expected)
        own = {name: v for name, v in tensors.items() if name.startswith("memory.specialized.")}
        assert own.keys() == {
            f"memory.{name}" for name in watched.plan.generator.specialized_state()
        }
        wire = b"".join(sent.frames)
        carried = set(stretches(values))
        assert set(stretches(expected[1000:2000])) & carried, "what is sent would be found"
        searched = 0
        for name, tensor in own.items():
            first = start_of_own[name.removeprefix("memory.")]
            for form in (tensor, tensor - first):
                flat = form.ravel()
                places = telling(flat)
                searched += len(places)
                for at in places:
                    assert flat[at : at + 4].tobytes() not in wire, name
                integers = watched.plan.codec.encode(
                    np.clip(flat.astype(np.float64), -1, 1), Fraction(1)
                )
                assert not carried & set(stretches(integers)), name
        assert searched > 1000


def pass_of(sent: SentUpdate) -> int:
    """From the kept training's own note; no round of this run was aborted."""
    length = int.from_bytes(sent.private[:8], "little")
    header: dict[str, Any] = json.loads(sent.private[8 : 8 + length])
    return int(header["__metadata__"]["pass"])


def telling(flat: np.ndarray) -> list[int]:
    """Where four values in a row differ from each other and from zero; some of many."""
    places = np.arange(0, max(0, flat.size - 3))
    windows = np.stack([flat[places + step] for step in range(4)]) if places.size else None
    if windows is None:
        return []
    differ = (np.diff(np.sort(windows, axis=0), axis=0) > 0).all(axis=0) & (windows != 0).all(0)
    return [int(at) for at in np.flatnonzero(differ)[:: max(1, int(differ.sum()) // 50)]]


def stretches(integers: np.ndarray) -> Iterator[bytes]:
    """Every run of four numbers that are large enough to tell one tensor from another."""
    large = np.abs(integers) > 100
    for at in np.flatnonzero(large[:-3] & large[1:-2] & large[2:-1] & large[3:]):
        yield integers[at : at + 4].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("factorization", ["rolora", "ffa", "fedsb"])
def test_other_factorisations_are_the_simulation(tmp_path: Path, factorization: str) -> None:
    config = write_config(tmp_path, update={"factorization": factorization})
    run = start(config, tmp_path / "run")
    try:
        assert run.wait() == 0, run.text
    finally:
        stop(run)
    assert_is_simulated(run.folder)
