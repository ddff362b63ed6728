"""What one coordinator bears: a real one, over mutual TLS, with a crowd of simulated sites.

A simulated site has a real identity, a connection of its own that stays open, and makes every call
of a real site's round with messages and frames of the real sizes: it announces itself, deposits
sealed shares and commits, co-signs, uploads, publishes share sums, downloads, acknowledges. What it
seals are random bytes and what it uploads are random residues, because the coordinator can tell
neither from the real ones. The downloaded sum is compared with the sum of what was uploaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from fedmrg_secure.benchmark.crowd import Crowd, opened_crowd
from fedmrg_secure.benchmark.loopback import (
    FEDERATION,
    RoundBenchmarkFailed,
    drain,
    lines_of,
    peak_mb,
    session_manifest,
    started,
)
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.crypto.frame import vector_bytes
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit

_WEEK_MS: Final = 7 * 24 * 3600 * 1000
_POLL_S: Final = 0.2
_MODEL: Final = b"\x01" * 32

Progress = Callable[[str], None]


class NoRoomToMeasure(InputError):
    """The disk has no room for what the measured coordinator would store."""

    code: ClassVar[str] = "FMRG-8204"


@dataclass(frozen=True, slots=True)
class CrowdCase:
    """What is measured.

    Attributes:
        sites: simulated, all in the round.
        values: of one site's update.
        wire_bits: of ``ckks-multiparty``.
        precision_bits: of the fixed-point grid.
        concurrency: sites that call at a time.
    """

    sites: int
    values: int
    wire_bits: int
    precision_bits: int
    concurrency: int


def measure_coordinator(case: CrowdCase, progress: Progress = lambda _: None) -> dict[str, Any]:
    """One round of a crowd: wall seconds and bytes by phase, the coordinator's memory.

    Raises:
        NoRoomToMeasure: before anything is started.
        CapacityExceeded: so many sites do not fit the scheme.
        RoundBenchmarkFailed: the coordinator ended early, or the sum is wrong.
    """
    names = [f"site-{place:04}" for place in range(case.sites)]
    with tempfile.TemporaryDirectory(prefix="fedmrg-bench-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        progress(f"making {case.sites} identities")
        provision_throwaway(folder, FEDERATION, names, "127.0.0.1")
        roster = load_kit(folder / "coordinator" / "kit").roster
        manifest = session_manifest(
            names,
            roster.hash,
            scheme=CKKS_MULTIPARTY,
            values=case.values,
            precision_bits=case.precision_bits,
            wire_bits=case.wire_bits,
            rounds=1,
            site_timeout_ms=_WEEK_MS,
            join_deadline_ms=_WEEK_MS,
            round_deadline_ms=_WEEK_MS,
        )
        _check_room(folder, manifest, case)
        manifest.write(folder / "coordinator" / "session.json")
        identities = {name: load_kit(folder / "sites" / name / "kit").identity for name in names}
        serve = ["coordinator", "serve", str(folder / "coordinator"), "--port", "0"]
        process = stack.enter_context(started("fedmrg_secure.cli.main", serve))
        port = next(line["port"] for line in lines_of(process) if line["event"] == "serving")
        drain(process)
        crowd = stack.enter_context(opened_crowd(identities, port, roster, manifest))
        watch = _Watch(case, process.pid, progress, lambda: peak_mb(process))
        _play(crowd, watch)
        return watch.row(crowd)


class _Watch:
    """Times phases in which every site does the same, and looks at the coordinator's memory."""

    def __init__(
        self, case: CrowdCase, pid: int, progress: Progress, memory: Callable[[], int]
    ) -> None:
        self._case, self._pid, self._progress, self._memory = case, pid, progress, memory
        self._phases: dict[str, dict[str, float]] = {}
        self._cpu_s = _cpu_s(pid)
        self._started = time.monotonic()

    def everyone(self, phase: str, crowd: Crowd, step: Callable[[str], int]) -> None:
        """Let every site take `step`, so many at a time; it returns the payload bytes moved."""
        with self.phase(phase) as figures, ThreadPoolExecutor(self._case.concurrency) as pool:
            moved, told = 0, time.monotonic()
            for done, count in enumerate(pool.map(step, crowd.clients), start=1):
                moved += count
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    self._progress(
                        f"{phase}: {done} of {self._case.sites} sites, "
                        f"{moved / 2**20:,.0f} MiB, coordinator {self._memory()} MiB"
                    )
            figures["bytes"] = moved

    @contextmanager
    def phase(self, phase: str) -> Iterator[dict[str, float]]:
        """Time what is done inside."""
        self._progress(f"{phase} ...")
        figures: dict[str, float] = {"bytes": 0}
        started_at = time.monotonic()
        yield figures
        figures["seconds"] = time.monotonic() - started_at
        figures["peak_mb"] = self._memory()
        self._phases[phase] = figures

    def row(self, crowd: Crowd) -> dict[str, Any]:
        case, adding = self._case, self._phases["add"]["seconds"]
        return {
            "scheme": f"{CKKS_MULTIPARTY}, {case.wire_bits} bits",
            "sites": case.sites,
            "parameters": case.values,
            "precision_bits": case.precision_bits,
            "concurrency": case.concurrency,
            "upload_bytes": crowd.upload_bytes,
            "deposit_bytes": crowd.sealed_bytes * case.sites,
            "phases": self._phases,
            "round_s": time.monotonic() - self._started,
            "add_mparam_s": case.sites * case.values / adding / 1e6,
            "coordinator_cpu_s": _cpu_s(self._pid) - self._cpu_s,
            "coordinator_peak_mb": max(int(one["peak_mb"]) for one in self._phases.values()),
            "sum_is_exact": True,  # else the download has raised
        }


def _play(crowd: Crowd, watch: _Watch) -> None:
    """One round, phase by phase."""
    manifest, clients = crowd.manifest, crowd.clients
    first = next(iter(clients.values()))
    state = bytes.fromhex(manifest.initial_state_hash)

    def join(site: str) -> int:
        clients[site].accept_session(1)
        return 0

    def announce(site: str) -> int:
        clients[site].announce(1, os.urandom(32), state)
        return 0

    def commit(site: str) -> int:
        sealed = crowd.deposit()
        root = manifest_of(crowd.plan_hash, crowd.frames(site)).merkle_root
        clients[site].certified.commit(1, crowd.plan_hash, root, sealed)
        return len(sealed) * crowd.sealed_bytes

    def certify(site: str) -> int:
        calls = clients[site].certified
        calls.co_sign_cohort(1, cohort_hash(manifest.session_id, calls.cohort(1).cohort))
        return 0

    def upload(site: str) -> int:
        clients[site].certified.cohort(1)  # its certificate, which a real site verifies
        listed = manifest_of(crowd.plan_hash, crowd.frames(site))
        clients[site].upload(1, listed, lambda index: crowd.frame(site, index))
        return listed.total_bytes

    def include(site: str) -> int:
        calls = clients[site].certified
        statement = inclusion_hash(manifest.session_id, calls.inclusion(1).inclusion)
        calls.co_sign_inclusion(1, statement)
        return 0

    def give_share_sums(site: str) -> int:
        calls = clients[site].certified
        statement = inclusion_hash(manifest.session_id, calls.inclusion(1).inclusion)
        shares, sums = calls.shares(1), crowd.deposit()
        calls.publish_share_sums(1, statement, sums)
        return (len(shares) + len(sums)) * crowd.sealed_bytes

    def open_sum(site: str) -> int:
        opening = clients[site].certified.opening(1)
        info = clients[site].get_aggregate(1)
        if opening is None or info is None:
            raise RoundBenchmarkFailed("there is no sum to open")
        moved = len(opening.share_sums) * crowd.sealed_bytes
        for index, frame in enumerate(clients[site].download(info)):
            moved += len(frame)
            if clients[site] is first:
                crowd.check_sum(info, index, frame)
        return moved

    def acknowledge(site: str) -> int:
        clients[site].acknowledge(1, crowd.plan_hash, _MODEL)
        return 0

    watch.everyone("join", crowd, join)
    _await(first, RoundPhase.ANNOUNCING)
    watch.everyone("announce", crowd, announce)
    _await(first, RoundPhase.COMMITTING)
    crowd.plan = first.get_status().plan
    watch.everyone("commit", crowd, commit)
    _await(first, RoundPhase.CERTIFYING)
    watch.everyone("certify", crowd, certify)
    _await(first, RoundPhase.UPLOADING)
    watch.everyone("upload", crowd, upload)
    _await(first, RoundPhase.INCLUDING)
    watch.everyone("include", crowd, include)
    with watch.phase("add"):
        _await(first, RoundPhase.AGGREGATED)
    watch.everyone("share sums", crowd, give_share_sums)
    watch.everyone("open", crowd, open_sum)
    watch.everyone("acknowledge", crowd, acknowledge)


def _await(client: CoordinatorClient, phase: RoundPhase) -> None:
    """Return once the round is in `phase` or, where co-signatures were enough before, beyond it."""
    while True:
        status = client.get_status()
        failed = status.session_phase is SessionPhase.FAILED
        if failed or status.round_phase is RoundPhase.ABORTED:
            raise RoundBenchmarkFailed(f"the session cannot go on: {status.reason}")
        if status.round_phase.has_reached(phase):
            return
        time.sleep(_POLL_S)


def _check_room(folder: Path, manifest: SessionManifest, case: CrowdCase) -> None:
    parameters = SchemeParameters.from_json(manifest.scheme_parameters)
    update = vector_bytes(parameters, case.values, sender=manifest.sites[0])
    needed = case.sites * update + 2 * case.sites**2 * 8192
    free = shutil.disk_usage(folder).free
    if needed * 1.1 > free:
        raise NoRoomToMeasure(
            f"uploads and sealed shares of {case.sites} sites take {needed / 2**30:.0f} GiB, "
            f"{free / 2**30:.0f} are free",
            hint="measure fewer sites or parameters, or set TMPDIR to a larger disk",
            location=str(folder),
        )


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
