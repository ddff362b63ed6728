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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

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
from fedmrg_secure.core.types import ResidueVector
from fedmrg_secure.crypto.frame import AGGREGATE, FrameHeader, decode_frame, vector_bytes
from fedmrg_secure.crypto.identity import PartyIdentity
from fedmrg_secure.crypto.multiparty.scheme import RoundKey
from fedmrg_secure.crypto.parameters import CKKS_MULTIPARTY, SchemeParameters
from fedmrg_secure.crypto.residues import add_mod, pack
from fedmrg_secure.crypto.roster import Roster
from fedmrg_secure.crypto.seal_key import seal
from fedmrg_secure.protocol.channel import TlsIdentity
from fedmrg_secure.protocol.chunks import manifest_of
from fedmrg_secure.protocol.hashes import cohort_hash, inclusion_hash, plan_hash
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.messages import AggregateInfo, RoundPlan
from fedmrg_secure.protocol.phases import RoundPhase, SessionPhase
from fedmrg_secure.protocol.transport import CoordinatorClient
from fedmrg_secure.provisioning.local import provision_throwaway
from fedmrg_secure.provisioning.site_kit import load_kit

_VARIANTS: Final = 4
"""Different chunks of residues; every site uploads them in another order."""
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
        crowd = stack.enter_context(_crowd(identities, port, roster, manifest))
        watch = _Watch(case, process.pid, progress, lambda: peak_mb(process))
        _play(crowd, watch)
        return watch.row(crowd)


@dataclass
class _Crowd:
    """The simulated sites and what they are made from."""

    manifest: SessionManifest
    clients: dict[str, CoordinatorClient]
    sealed_bytes: int
    plan: RoundPlan | None = None

    @cached_property
    def parameters(self) -> SchemeParameters:
        return SchemeParameters.from_json(self.manifest.scheme_parameters)

    @cached_property
    def residues(self) -> list[ResidueVector]:
        """Random residues for a whole chunk, shape (residues a chunk,), in `_VARIANTS` variants."""
        random = np.random.default_rng(0)
        count = self._header(next(iter(self.clients)), 0).residue_count
        modulus = self.parameters.modulus
        return [
            random.integers(0, modulus, count, dtype=np.uint64).astype(np.uint64)
            for _ in range(_VARIANTS)
        ]

    @cached_property
    def packed(self) -> dict[tuple[int, int], bytes]:
        """The variants as they travel, by variant and number of residues."""
        first = next(iter(self.clients))
        counts = {self._header(first, index).residue_count for index in range(self.chunks)}
        return {
            (variant, count): pack(residues[:count], self.parameters.residue_bits)
            for variant, residues in enumerate(self.residues)
            for count in counts
        }

    @cached_property
    def chunks(self) -> int:
        return self.parameters.chunk_count(self.manifest.value_count)

    @cached_property
    def upload_bytes(self) -> int:
        return vector_bytes(
            self.parameters, self.manifest.value_count, sender=next(iter(self.clients))
        )

    @property
    def plan_hash(self) -> bytes:
        assert self.plan is not None
        return plan_hash(self.manifest.session_id, self.plan)

    def frame(self, site: str, index: int) -> bytes:
        header = self._header(site, index)
        payload = self.packed[self._variant(site, index), header.residue_count]
        return header.to_bytes() + payload + bytes(header.openers_bytes)

    def frames(self, site: str) -> Iterator[bytes]:
        return (self.frame(site, index) for index in range(self.chunks))

    def deposit(self) -> list[bytes]:
        """Sealed bytes for every site, of a real share's length."""
        size = self.sealed_bytes
        data = os.urandom(size * len(self.clients))
        return [data[at : at + size] for at in range(0, len(data), size)]

    def expected_sum(self, index: int) -> ResidueVector:
        count = self._header(next(iter(self.clients)), index).residue_count
        total = np.zeros(count, dtype=np.uint64)
        for site in self.clients:
            variant = self._variant(site, index)
            add_mod(total, self.residues[variant][:count], self.parameters.modulus)
        return total

    def check_sum(self, info: AggregateInfo, index: int, frame: bytes) -> None:
        header = FrameHeader.of_chunk(
            self.parameters,
            session=self.manifest.session_id,
            round=info.round,
            sender=AGGREGATE,
            chunk_index=index,
            value_count=self.manifest.value_count,
            contributors=len(info.included),
        )
        if not np.array_equal(decode_frame(frame, header).residues, self.expected_sum(index)):
            raise RoundBenchmarkFailed(f"chunk {index} of the sum is not what was uploaded")

    def _variant(self, site: str, index: int) -> int:
        return (self.manifest.sites.index(site) + index) % _VARIANTS

    def _header(self, site: str, index: int) -> FrameHeader:
        return FrameHeader.of_chunk(
            self.parameters,
            session=self.manifest.session_id,
            round=1,
            sender=site,
            chunk_index=index,
            value_count=self.manifest.value_count,
        )


class _Watch:
    """Times phases in which every site does the same, and looks at the coordinator's memory."""

    def __init__(
        self, case: CrowdCase, pid: int, progress: Progress, memory: Callable[[], int]
    ) -> None:
        self._case, self._pid, self._progress, self._memory = case, pid, progress, memory
        self._phases: dict[str, dict[str, float]] = {}
        self._cpu_s = _cpu_s(pid)
        self._started = time.monotonic()

    def everyone(self, phase: str, crowd: _Crowd, step: Callable[[str], int]) -> None:
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

    def row(self, crowd: _Crowd) -> dict[str, Any]:
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


def _play(crowd: _Crowd, watch: _Watch) -> None:
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
        if status.round_phase is phase or _beyond(status.round_phase, phase):
            return
        time.sleep(_POLL_S)


def _beyond(found: RoundPhase, phase: RoundPhase) -> bool:
    order = [
        RoundPhase.ANNOUNCING,
        RoundPhase.COMMITTING,
        RoundPhase.CERTIFYING,
        RoundPhase.UPLOADING,
        RoundPhase.INCLUDING,
        RoundPhase.AGGREGATING,
        RoundPhase.AGGREGATED,
    ]
    return found in order and order.index(found) > order.index(phase)


@contextmanager
def _crowd(
    identities: Mapping[str, PartyIdentity], port: int, roster: Roster, manifest: SessionManifest
) -> Iterator[_Crowd]:
    """Every site with its own identity and connection; the roster is the same for all."""
    parameters = SchemeParameters.from_json(manifest.scheme_parameters)
    share = RoundKey.generate(parameters).shares(2, 2)[0].to_bytes()
    sealed = seal(roster.entry(manifest.sites[0]).seal_key, share, b"")
    with ExitStack() as stack:
        clients = {}
        for name, identity in identities.items():
            client = CoordinatorClient(
                target=f"127.0.0.1:{port}",
                server_name=identity.coordinator_name,
                tls=TlsIdentity(
                    identity.tls_chain_pem, identity.tls_key_pem.reveal(), identity.authority_pem
                ),
                signer=identity.signing_key,
                verifier=roster,
                session_id=manifest.session_id,
            )
            clients[name] = stack.enter_context(client)
        yield _Crowd(manifest, clients, len(sealed))


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
