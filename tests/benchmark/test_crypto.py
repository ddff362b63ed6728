from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmrg_secure.benchmark import crypto
from fedmrg_secure.benchmark.apart import BenchmarkFailed
from fedmrg_secure.benchmark.crypto import Settings, grid, measure_cases, summarise
from fedmrg_secure.benchmark.crypto_row import PEERS, Case, Meter, _groups, measure
from fedmrg_secure.cli.main import INTERRUPTED, run_command

SETTINGS = Settings(precision_bits=20, repeats=1, seconds=0.2, max_error=1e-5)
FIGURES = (
    "uplink_bytes_per_parameter",
    "downlink_bytes_per_parameter",
    "encrypt_mparam_s",
    "encrypt_wall_mparam_s",
    "receive_mparam_s",
    "add_mparam_s",
    "open_mparam_s",
    "peak_memory_mb",
    "base_memory_mb",
    "rms_error",
    "max_error",
)
RATIOS = ("encrypt_times_peers", "open_times_peers", "uplink_times_smaller")


def row_of(case: Case) -> dict[str, Any]:
    """The row, measured in this process."""
    *_, last = measure(case)
    row: dict[str, Any] = last["row"]
    return row


def test_bench_crypto_prints_a_row_for_each_scheme(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "crypto.html"
    command = ["bench", "crypto", "--json", "--quick", "--parameters", "50000", "--sites", "4"]
    assert run_command([*command, "--page", str(page)]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    rows = summary["rows"]
    assert summary["complete"]
    assert [row["scheme"] for row in rows] == [
        "ckks-shared",
        *["ckks-multiparty"] * 4,
        "insecure-plaintext",
        "tenseal-vectors",
    ]
    assert [row.get("baseline", False) for row in rows] == [False] * 6 + [True]
    assert [row["wire_bits"] for row in rows[1:5]] == [30, 24, 20, 16]
    for row in rows:
        assert (row["parameters"], row["sites"], row["threads"]) == (50000, 4, 1)
        assert row["fits"]
        assert row["clock"] == "processor"
        assert all(row[figure] > 0 for figure in FIGURES)
        assert row["rms_error"] < row["max_error"]
        assert row["base_memory_mb"] <= row["peak_memory_mb"]
    for row in rows[:-1]:
        ratio = row["encrypt_mparam_s"] / row["peers_encrypt_mparam_s"]
        assert row["encrypt_times_peers"] == pytest.approx(ratio)
        assert row["max_error"] <= row["error_bound"]
        assert all(row[ratio] > 0 for ratio in RATIOS)
    for row in rows[1:5]:
        bits = row["wire_bits"]
        # The last block is padded: 50,000 values fill 25 blocks of 2,048 to 98 per cent.
        assert row["uplink_bytes_per_parameter"] == pytest.approx(bits / 8, rel=0.03)
        # The wire's rounding error of four sites in the mean, and the grid's.
        wire = 2 * 4 * 0.1 / 2**bits / 12**0.5 * 4**0.5 / 4
        assert row["rms_error"] < 1.1 * wire + 5e-9
    narrow, wide = rows[3], rows[2]
    assert (narrow["wire_bits"], narrow["clip_range"]) == (20, pytest.approx(0.1))
    assert narrow["rms_error"] < 2e-7
    assert wide["wire_bits"] == 24
    for direction in ("uplink", "downlink"):
        assert narrow[f"{direction}_bytes_per_parameter"] <= 2.6
        assert wide[f"{direction}_bytes_per_parameter"] <= 3.1
        # Bytes are no matter of the machine, so the ratio holds in each run.
        assert narrow[f"{direction}_times_smaller"] >= 20
    assert [row["within_max_error"] for row in rows[1:5]] == [True, True, True, False]
    ours, plain, peers = rows[0], rows[-2], rows[-1]
    assert ours["uplink_bytes_per_parameter"] < 5.2 < peers["uplink_bytes_per_parameter"]
    assert ours["downlink_bytes_per_parameter"] < 5.2
    # Encryption adds no error: both are the grid's, half a step at most.
    step = 2.0 ** -ours["precision_bits"] * (1.05 * 0.01 * 50000**0.5 + 0.05)
    assert ours["max_error"] == plain["max_error"] <= step / 2 == ours["error_bound"]
    assert "measuring ckks-shared" in captured.err
    assert "times as fast" in captured.err
    assert "! the error of the mean may exceed 1e-05" in captured.err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_scheme_that_cannot_carry_the_sites_has_a_row_that_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(Case("ckks-shared", 100, 100_000, precision_bits=20, repeats=1))
    assert row["fits"] is False
    assert "one federation has" in row["reason"]
    monkeypatch.setattr(crypto, "measure_cases", lambda *_: iter([row]))
    assert run_command(["bench", "crypto", "--quick"]) == 0
    assert "ckks-shared does not fit: " in capsys.readouterr().out


def test_a_measuring_process_that_fails_is_reported() -> None:
    case = Case("no-such-scheme", 10, 3, precision_bits=20, repeats=1)
    with pytest.raises(BenchmarkFailed, match=r"no-such-scheme ended with exit code 1: .*Unsafe"):
        list(measure_cases([case], lambda case, share: None))


def test_two_threads_encrypt_the_same_bytes_and_open_the_same_mean() -> None:
    one = Case("ckks-multiparty", 300_000, 2, 20, 1, threads=1, wire_bits=20, seconds=60.0)
    two = dataclasses.replace(one, threads=2)
    first, second = row_of(one), row_of(two)
    assert (first["clock"], second["clock"]) == ("processor", "wall")
    for row in (first, second):
        assert row["measured_parameters"] == 300_000
        assert row["max_error"] <= row["error_bound"]
    # Other keys, so another rounding: the same distribution.
    assert second["rms_error"] == pytest.approx(first["rms_error"], rel=0.05)


def test_a_long_vector_is_measured_in_part_and_its_bytes_are_of_the_whole() -> None:
    case = Case("ckks-multiparty", 1_500_000, 2, 20, 1, wire_bits=16, seconds=1e-9)
    row = row_of(case)
    assert row["measured_parameters"] == 1_500_000 % (64 * 2048)  # the last chunk, and no more
    assert row["uplink_bytes_per_parameter"] == pytest.approx(2.0, rel=0.01)
    peers = row_of(Case(PEERS, 9000, 2, 20, 1, seconds=1e-9))
    assert peers["measured_parameters"] == 9000 - 2 * 4096
    # Three ciphertexts of 57.6 bytes a slot, of which the last is mostly idle.
    assert peers["uplink_bytes_per_parameter"] == pytest.approx(57.6 * 3 * 4096 / 9000, rel=0.01)


def test_pieces_are_measured_last_first_then_spread_and_each_once() -> None:
    assert _groups(1, 1) == [[0]]
    assert _groups(5, 1) == [[4], [0], [2], [1], [3]]
    groups = _groups(19, 2)
    assert groups == [[16, 17, 18], list(range(8)), list(range(8, 16))]
    assert sorted(chain.from_iterable(_groups(1000, 1))) == list(range(1000))
    quarter = np.array(_groups(1024, 1)[1:129]).reshape(-1)
    assert all(np.count_nonzero(quarter // 256 == part) == 32 for part in range(4))


def test_a_rate_is_the_median_over_groups() -> None:
    meter = Meter(1)
    assert meter.rate("add") is None
    for seconds in (1.0, 2.0, 4.0):
        meter.keep("add", 8_000_000, seconds)
    meter.keep("add", 0, 1.0)
    assert meter.rate("add") == 4.0


def test_every_combination_is_measured_and_threads_where_they_can_help() -> None:
    cases = grid([10, 20], [2], [1, 4], SETTINGS)
    assert len(cases) == len(set(cases)) == 2 * (7 + 5)
    assert {case.scheme for case in cases if case.threads == 4} == {
        "ckks-multiparty",
        "insecure-plaintext",
    }
    assert {case.wire_bits for case in cases} == {None, 16, 20, 24, 30}


def test_the_sweep_varies_one_thing_at_a_time() -> None:
    cases = crypto.sweep([1, 2], SETTINGS)
    assert len(cases) == len(set(cases))
    points = {(case.parameters, case.sites) for case in cases}
    assert {size for size, sites in points if sites == 4} == {10**5, 10**6, 10**7, 5 * 10**7}
    assert {sites for size, sites in points if size == 10**6} == {2, 4, 10, 20, 50}
    for size, sites in points:
        names = {case.name for case in cases if (case.parameters, case.sites) == (size, sites)}
        assert len(names) == len(crypto.ROWS)


def made_up(**changes: Any) -> dict[str, Any]:
    row = {
        "scheme": "ckks-multiparty",
        "name": "ckks-multiparty-20",
        "parameters": 10,
        "sites": 2,
        "threads": 1,
        "fits": True,
        "encrypt_mparam_s": 60.0,
        "encrypt_wall_mparam_s": 50.0,
        "open_mparam_s": 30.0,
        "uplink_bytes_per_parameter": 2.5,
        "downlink_bytes_per_parameter": 2.5,
    }
    return row | changes


def test_rows_are_compared_with_the_peers_of_the_same_point_alone() -> None:
    peers = made_up(
        scheme=PEERS,
        name=PEERS,
        open_mparam_s=3.0,
        uplink_bytes_per_parameter=50.0,
        downlink_bytes_per_parameter=25.0,
    )
    rows = [
        made_up(),
        made_up(threads=2, encrypt_wall_mparam_s=90.0),
        made_up(sites=3),
        made_up(fits=False, name="ckks-shared"),
        peers,
    ]
    summary = summarise(rows, SETTINGS, total=6)
    first, threaded, elsewhere, unfit, last = summary["rows"]
    assert first["open_times_peers"] == 10.0
    assert first["uplink_times_smaller"] == 20.0
    assert first["downlink_times_smaller"] == 10.0
    assert threaded["encrypt_times_one_thread"] == 1.8
    assert "open_times_peers" not in threaded
    assert (elsewhere, unfit, last) == (rows[2], rows[3], peers)
    assert summary["complete"] is False
    assert summarise(rows, SETTINGS, total=5)["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parameters", "0"], "--parameters takes whole numbers from 1"),
        (["--parameters", "1.5"], "not '1.5'"),
        (["--parameters", "1e99"], "not '1e99'"),
        (["--parameters", "all"], "not 'all'"),
        (["--sites", "2,many"], "not 'many'"),
        (["--sites", "100000"], "not '100000'"),
        (["--threads", "-1"], "not '-1'"),
        (["--sites", ","], "--sites is an empty list"),
        (["--sweep", "--quick"], "--sweep chooses"),
    ],
)
def test_lists_that_are_none_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["bench", "crypto", *arguments]) == 2
    error = capsys.readouterr().err
    assert "FMRG-8202" in error
    assert told in error


def test_lists_take_powers_of_ten_and_every_core(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Case] = []

    def measured(cases: list[Case], progress: Any) -> Iterator[dict[str, Any]]:
        asked.extend(cases)
        return iter(())

    monkeypatch.setattr("os.cpu_count", lambda: 7)
    monkeypatch.setattr(crypto, "measure_cases", measured)
    command = ["bench", "crypto", "--parameters", "1e5,100_000,2e6", "--sites", "2, 5"]
    assert run_command([*command, "--threads", "1,all", "--json"]) == 0
    assert list(dict.fromkeys(case.parameters for case in asked)) == [100_000, 2_000_000]
    assert {case.sites for case in asked} == {2, 5}
    assert {case.threads for case in asked} == {1, 7}
    assert json.loads(capsys.readouterr().out)["rows"] == []


def test_what_was_measured_before_an_interrupt_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(cases: list[Case], progress: Any) -> Iterator[dict[str, Any]]:
        progress(cases[0], 0.5)
        yield row_of(Case("ckks-multiparty", 5000, 2, 20, 1, wire_bits=20))
        progress(cases[1], 0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(crypto, "measure_cases", interrupted)
    page = tmp_path / "crypto.html"
    assert run_command(["bench", "crypto", "--quick", "--json", "--page", str(page)]) == INTERRUPTED
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert [row["name"] for row in summary["rows"]] == ["ckks-multiparty-20"]
    assert summary["complete"] is False
    assert "times as fast as the peers." in captured.err
    assert "interrupted: 1 of 7 rows were measured" in captured.err
    assert "Only what was measured before is shown" in page.read_text(encoding="utf-8")
