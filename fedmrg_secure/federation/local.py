"""A whole federation on this machine: real processes, real mutual TLS, real ciphertexts.

`run_federation` narrates it from top to bottom: plan, identities, coordinator, sites, evaluator,
the rounds, and what is left in the run's folder.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, ClassVar, Final

from rich.console import Console
from safetensors.numpy import save_file

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.types import COORDINATOR
from fedmrg_secure.federation.plan import RunPlan, federation_name
from fedmrg_secure.federation.processes import ChildEvent, ProcessGroup
from fedmrg_secure.federation.progress import Progress
from fedmrg_secure.federation.run_folder import RunFolder, now, write_json
from fedmrg_secure.federation.states import newest_state
from fedmrg_secure.federation.summary import summarise
from fedmrg_secure.provisioning.local import provision_throwaway

EVALUATOR: Final = "evaluator"
_COORDINATOR_RESTARTS: Final = 5
_STARTUP_PATIENCE_S: Final = 60.0
_FAREWELL_PATIENCE_S: Final = 30.0


class FederationFailed(FedmrgError):
    """The coordinator gave the session up, or no process is left that could go on."""

    code: ClassVar[str] = "FMRG-6311"


class EvaluationFailed(FedmrgError):
    """Training finished, judging the model did not."""

    code: ClassVar[str] = "FMRG-6312"


@dataclass
class _Course:
    """How the run stands, as far as the processes have told."""

    port: int = 0
    outcome: str = ""
    reason: str = ""
    given_up: bool = False
    restarts: int = 0
    ended: dict[str, int] = field(default_factory=dict)


def run_federation(
    plan: RunPlan, folder: RunFolder, console: Console, *, resume: bool
) -> dict[str, Any]:
    """Run (or go on with) a federation until it ends; return the run's summary.

    Args:
        plan: the run, checked: made before its folder, so that a mistake leaves none behind.
        folder: its folder, made by `create_run_folder` or found by `reopen_run_folder`.
        console: where progress is shown.
        resume: identities, session and every party's state are those in the folder.

    Raises:
        FederationFailed: too few sites were left, or the sites disagreed.
        EvaluationFailed: the model is trained and exported, but was not judged.
        KeyboardInterrupt: after every process has been stopped; the run can be resumed.
    """
    started = time.monotonic()
    config = plan.config
    trained = resume and "trained" in folder.read_manifest()
    if not resume or not (folder.coordinator / "session.json").exists():
        _prepare(config, plan, folder)
    folder.update_manifest(status="running", sites=list(plan.sites), unseen=list(plan.unseen))
    group = ProcessGroup(folder.process_logs)
    try:
        with _terminate_as_interrupt(), _shown(console, config, plan) as progress:
            if trained:  # stopped while it was judged: nobody is left to train with
                group.start(EVALUATOR, ["evaluate", str(folder.root), "--follow"])
            else:
                course = _train(config, plan, folder, group, progress)
                if course.outcome != "finished":
                    raise _failure(course, folder)
            folder.update_manifest(status="finished", trained=now())
            progress.say("training finished; the model is judged at every centre")
            _await_evaluator(group, progress)
    except KeyboardInterrupt:
        group.stop()
        folder.update_manifest(status="interrupted", ended=now())
        console.print(
            f"stopped; go on with: fedmrg run {folder.config} --out {folder.root} --resume",
            markup=False,
            soft_wrap=True,
        )
        raise
    except FedmrgError as error:
        folder.update_manifest(
            status="finished" if isinstance(error, EvaluationFailed) else "failed",
            ended=now(),
            error={"code": error.code, "message": error.message, "hint": error.hint},
        )
        raise
    except OSError:
        with suppress(OSError):  # a full disk takes no status either; the run can be resumed
            folder.update_manifest(status="interrupted", ended=now())
        raise
    finally:
        group.stop()
        with suppress(OSError):
            _collect_logs(plan, folder)
    _export_adapters(plan, folder)
    summary = summarise(
        config,
        plan,
        folder,
        seconds=time.monotonic() - started,
        peak_memory_bytes=group.peak_memory_bytes,
    )
    write_json(folder.summary, summary)
    folder.update_manifest(ended=now())
    return summary


def _prepare(config: RunConfig, plan: RunPlan, folder: RunFolder) -> None:
    """Throw-away identities, each party's folder, and, last, the session's manifest."""
    for begun in (folder.coordinator, folder.root / "sites"):
        shutil.rmtree(begun, ignore_errors=True)  # a run stopped before its session was pinned
    provision_throwaway(folder.root, federation_name(config), plan.sites, config.federation.host)
    for site in plan.sites:
        shutil.copyfile(folder.config, folder.site(site) / "config.yaml")
    plan.write_session(folder)


def _train(
    config: RunConfig, plan: RunPlan, folder: RunFolder, group: ProcessGroup, progress: Progress
) -> _Course:
    """Start everybody and follow the session to its end."""
    course = _Course(port=config.federation.port)
    _start_coordinator(config, folder, group, course, progress)
    address = f"{config.federation.host}:{course.port}"
    for site in plan.sites:
        group.start(site, ["client", "run", str(folder.site(site)), "--coordinator", address])
    group.start(EVALUATOR, ["evaluate", str(folder.root), "--follow"])
    while not course.outcome:
        event = group.next_event(0.2)
        progress.draw()
        if event is not None:
            _take_in(event, config, plan, folder, group, course, progress)
    # Sites hear of the end by themselves and finish their own part for as long as they tell of it;
    # a run given up here must stop before its session fails.
    patience_s = 0.0 if course.given_up else _FAREWELL_PATIENCE_S
    deadline = time.monotonic() + patience_s
    while set(plan.sites) & set(group.running) and time.monotonic() < deadline:
        event = group.next_event(0.2)
        progress.draw()
        if event is None:
            continue
        _take_in(event, config, plan, folder, group, course, progress)
        if event.child in plan.sites:
            deadline = time.monotonic() + patience_s
    group.stop([*plan.sites, COORDINATOR])
    return course


def _start_coordinator(
    config: RunConfig,
    folder: RunFolder,
    group: ProcessGroup,
    course: _Course,
    progress: Progress,
) -> None:
    """Start the coordinator and learn its port; a restart takes the same port again."""
    group.start(
        COORDINATOR,
        [
            *("coordinator", "serve", str(folder.coordinator)),
            *("--host", config.federation.host, "--port", str(course.port)),
        ],
    )
    deadline = time.monotonic() + _STARTUP_PATIENCE_S
    while time.monotonic() < deadline:
        event = group.next_event(0.2, of=COORDINATOR)
        if event is None:
            continue
        if event.kind == "serving":
            course.port = int(event.fields["port"])
            progress.coordinator_phase(f"serving on port {course.port}")
            return
        if event.kind == "exited":
            break
    raise FederationFailed(
        "the coordinator did not start",
        hint=group.child(COORDINATOR).error_text() or f"see {folder.process_logs}",
    )


def _take_in(
    event: ChildEvent,
    config: RunConfig,
    plan: RunPlan,
    folder: RunFolder,
    group: ProcessGroup,
    course: _Course,
    progress: Progress,
) -> None:
    if event.child == COORDINATOR:
        _take_in_coordinator(event, config, folder, group, course, progress)
    elif event.child == EVALUATOR:
        _take_in_evaluator(event, progress)
    elif event.kind == "exited":
        code = course.ended[event.child] = int(event.fields["code"])
        if code != 0:
            progress.site_phase(event.child, "stopped")
            progress.say(f"{event.child} has stopped ({_how(code)})", "red")
            progress.say(group.child(event.child).error_text().strip(), "red")
        _give_up_with_too_few(config, plan, course)
    else:
        progress.site_event(event.child, event.fields)
        if event.kind == "ledger_discontinued":
            of, reason = event.fields["site"], event.fields["reason"]
            progress.say(
                f"{event.child}: the privacy ledger of {of} does not continue the one that it "
                f"showed before ({reason}); ask the site what its patients have lost",
                "red",
            )
        elif event.kind == "ledgers_unproven":
            sites = ", ".join(event.fields["sites"])
            progress.say(f"{event.child} cannot tell if the ledger continues of {sites}", "yellow")
        elif event.kind == "ledgers_missing":
            sites = ", ".join(event.fields["sites"])
            progress.say(
                f"{event.child}: nobody counts what patients lose at {sites}: no privacy ledger is "
                "shown; ask whether the site has the run's privacy section",
                "red",
            )
        elif event.kind == "share_sums_wrong":
            sites = ", ".join(event.fields["sites"])
            progress.say(f"{event.child}: wrong share sums have come of {sites}", "red")
        elif event.kind == "share_sums_inconsistent":
            progress.say(f"{event.child}: share sums are wrong, it cannot be told whose", "red")
        elif event.kind == "round":
            folder.append_metrics({"kind": "round", "site": event.child, **_row(event.fields)})


def _give_up_with_too_few(config: RunConfig, plan: RunPlan, course: _Course) -> None:
    """Stop before the coordinator fails the session for good: then the run can be resumed."""
    left, needed = len(plan.sites) - len(course.ended), config.federation.min_sites
    if not course.outcome and left < needed:
        course.outcome, course.given_up = "failed", True
        stopped = ", ".join(sorted(course.ended))
        course.reason = f"{left} sites are left, {needed} are needed; stopped: {stopped}"


def _take_in_coordinator(
    event: ChildEvent,
    config: RunConfig,
    folder: RunFolder,
    group: ProcessGroup,
    course: _Course,
    progress: Progress,
) -> None:
    fields = event.fields
    if event.kind == "round":
        progress.coordinator_phase(f"round {fields['round']} {str(fields['phase']).lower()}")
        if fields["phase"] == "ABORTED":
            progress.say(f"round {fields['round']} aborted: {fields.get('reason', '')}", "yellow")
    elif event.kind == "site_lost":
        progress.say(f"{fields['site']} is silent and counts as lost", "yellow")
        progress.site_phase(str(fields["site"]), "lost")
    elif event.kind == "disk_full":
        progress.say(f"the coordinator waits for room on its disk: {fields['reason']}", "red")
    elif event.kind in ("finished", "failed"):
        course.outcome, course.reason = event.kind, str(fields.get("reason", ""))
        progress.coordinator_phase(event.kind)
    elif event.kind == "exited" and not course.outcome:
        code = int(fields["code"])
        if code > 0:  # it said why, and would say it again
            course.outcome = "failed"
            course.reason = group.child(COORDINATOR).error_text() or _how(code)
            return
        if course.restarts >= _COORDINATOR_RESTARTS:
            course.outcome = "failed"
            course.reason = f"the coordinator has ended {course.restarts + 1} times ({_how(code)})"
            return
        course.restarts += 1
        progress.say(f"the coordinator has ended ({_how(code)}) and is started again", "yellow")
        _start_coordinator(config, folder, group, course, progress)


def _take_in_evaluator(event: ChildEvent, progress: Progress) -> None:
    if event.kind == "line":
        progress.say(str(event.fields["text"]), "cyan")


def _await_evaluator(group: ProcessGroup, progress: Progress) -> None:
    child = group.child(EVALUATOR)
    while True:
        # Its end may have been taken in while the sites were waited for: then silence is the end.
        ended = not child.running
        event = group.next_event(0.2)
        progress.draw()
        if event is not None and event.child == EVALUATOR:
            _take_in_evaluator(event, progress)
        if event is None and ended:
            break
    if child.process.returncode != 0:
        raise EvaluationFailed(
            f"the evaluator has stopped ({_how(child.process.returncode)})",
            hint=child.error_text() or "judge the model by: fedmrg evaluate RUN",
        )


def _failure(course: _Course, folder: RunFolder) -> FederationFailed:
    return FederationFailed(
        course.reason or "the session failed",
        hint=f"{folder.process_logs} has what each process said; mend it and go on with "
        f"fedmrg run {folder.config} --out {folder.root} --resume",
    )


def _collect_logs(plan: RunPlan, folder: RunFolder) -> None:
    """Copy every party's tamper-evident log to where `fedmrg log verify` looks for it."""
    for party, home in [
        (COORDINATOR, folder.coordinator),
        *((site, folder.site(site)) for site in plan.sites),
    ]:
        if (home / "log").is_dir():
            shutil.copytree(home / "log", folder.logs / party, dirs_exist_ok=True)
    roster = folder.coordinator / "kit" / "roster.json"
    if roster.exists():
        folder.logs.mkdir(exist_ok=True)
        shutil.copyfile(roster, folder.logs / "roster.json")


def _export_adapters(plan: RunPlan, folder: RunFolder) -> None:
    """Leave the last round's model: an ordinary PEFT folder, and beside it the other parts."""
    _, state = newest_state(folder.root)
    state = plan.factorization.model_state(state)
    plan.generator.load_shared_state(state)
    adapter = folder.root / "adapters" / "generic"
    plan.generator.save_adapter(adapter)
    save_file(dict(state), adapter / "report_generator.safetensors")


def _row(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "event"}


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


@contextmanager
def _shown(console: Console, config: RunConfig, plan: RunPlan) -> Iterator[Progress]:
    with Progress(console, config.name, plan.sites, plan.protocol_rounds) as progress:
        yield progress


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Take SIGTERM like Ctrl-C, so that a stopped run leaves no process behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
