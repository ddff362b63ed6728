"""`fedmrg bench round` measures real processes, and says so where one of them ends."""

import pytest

from fedmrg_secure.benchmark.loopback import RoundBenchmarkFailed, lines_of, started
from fedmrg_secure.benchmark.round import PHASES, RoundCase, measure_round


@pytest.mark.parametrize("scheme", ["ckks-multiparty", "insecure-plaintext"])
def test_a_round_is_measured_by_phase(scheme: str) -> None:
    row = measure_round(RoundCase(scheme, 20, 20_000, sites=2, precision_bits=20, rounds=1))
    assert row["round_s"] > 0
    assert all(row[f"{phase}_s"] >= 0 for phase in PHASES)
    assert (row["certify_s"] > 0) == (scheme == "ckks-multiparty")
    wire = 20 if scheme == "ckks-multiparty" else 24
    assert row["uplink_bytes"] > 20_000 * wire / 8
    assert row["coordinator_mb"] > 10


def test_the_last_words_of_a_process_that_ends_are_told() -> None:
    with (
        started("json.tool", ["/nowhere"]) as process,
        pytest.raises(RoundBenchmarkFailed, match="nowhere"),
    ):
        list(lines_of(process))


def test_titles_tell_the_wire() -> None:
    assert RoundCase("ckks-multiparty", 24, 1, 2, 20, 1).title == "ckks-multiparty, 24 bits"
    assert RoundCase("ckks-shared", 24, 1, 2, 20, 1).title == "ckks-shared"
