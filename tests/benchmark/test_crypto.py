from __future__ import annotations

import json

import pytest

from fedmrg_secure.benchmark.crypto import BenchmarkFailed, measure_schemes
from fedmrg_secure.cli.main import run_command

FIGURES = (
    "uplink_bytes_per_parameter",
    "downlink_bytes_per_parameter",
    "encrypt_mparam_s",
    "add_mparam_s",
    "open_mparam_s",
    "peak_memory_mb",
    "rms_error",
    "max_error",
)


def test_bench_crypto_prints_a_row_for_each_scheme(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "crypto", "--json", "--quick", "--parameters", "50000", "--sites", "3"]
    assert run_command(command) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)["rows"]
    assert [row["scheme"] for row in rows] == [
        "ckks-shared",
        *["ckks-multiparty"] * 4,
        "insecure-plaintext",
        "tenseal-vectors",
    ]
    assert [row.get("baseline", False) for row in rows] == [False] * 6 + [True]
    assert [row["wire_bits"] for row in rows[1:5]] == [30, 24, 20, 16]
    for row in rows:
        assert (row["parameters"], row["sites"]) == (50000, 3)
        assert all(row[figure] > 0 for figure in FIGURES)
        assert row["rms_error"] < row["max_error"]
    for row in rows[1:5]:
        bits = row["wire_bits"]
        # The last block is padded: 50,000 values fill 25 blocks of 2,048 to 98 per cent.
        assert row["uplink_bytes_per_parameter"] == pytest.approx(bits / 8, rel=0.03)
        # The wire's rounding error of three sites in the mean, and the grid's.
        wire = 2 * 3 * 0.1 / 2**bits / 12**0.5 * 3**0.5 / 3
        assert row["rms_error"] < 1.1 * wire + 5e-9
    assert rows[3]["rms_error"] < 2e-7
    assert rows[3]["uplink_bytes_per_parameter"] < 2.6
    ours, plain, peers = rows[0], rows[-2], rows[-1]
    assert ours["uplink_bytes_per_parameter"] < 5.2 < peers["uplink_bytes_per_parameter"]
    assert ours["downlink_bytes_per_parameter"] < 5.2
    # Encryption adds no error: both are the grid's, half a step at most.
    step = 2.0 ** -ours["precision_bits"] * (1.05 * 0.01 * 50000**0.5 + 0.05)
    assert ours["max_error"] == plain["max_error"] <= step / 2
    assert "measuring ckks-shared" in captured.err
    assert "times as fast" in captured.err


def test_a_measuring_process_that_fails_is_reported() -> None:
    with pytest.raises(BenchmarkFailed, match="CapacityExceeded"):
        measure_schemes(
            parameters=10,
            sites=300,
            precision_bits=20,
            repeats=1,
            progress=lambda scheme, share: None,
        )
