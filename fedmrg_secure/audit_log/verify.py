"""Checking all logs of one run offline, each by itself and against the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from fedmrg_secure.audit_log.checkpoint import log_origin
from fedmrg_secure.audit_log.cross_check import cross_check
from fedmrg_secure.audit_log.files import CHECKPOINTS_FILE, ENTRIES_FILE
from fedmrg_secure.audit_log.recompute import LogInvalid, VerifiedLog, verify_log
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json
from fedmrg_secure.core.types import COORDINATOR

_ROSTERS: Final = ("log/roster.json", "coordinator/kit/roster.json")


class RunWithoutLogs(InputError):
    """A folder holds no run whose logs could be checked."""

    code: ClassVar[str] = "FMRG-7041"


@dataclass(frozen=True)
class LogKeys:
    """Who may sign which log.

    Args:
        federation: the federation's name.
        public_keys: Ed25519 keys, 32 bytes, by party; of revoked parties too.
    """

    federation: str
    public_keys: Mapping[str, bytes]

    @classmethod
    def stated_by(cls, roster_file: bytes) -> LogKeys:
        """The keys that a roster file states, its signature unchecked.

        Assumes:
            Whoever holds the folder did not replace the roster; `fedmrg log verify` checks its
            signature up to the federation's root before it comes here.

        Raises:
            RunWithoutLogs: it is no roster file.
        """
        try:
            roster = read_json(roster_file)["roster"]
            keys = {
                str(entry["party"]): bytes.fromhex(entry["signing_key"])
                for entry in roster["entries"]
            }
            return cls(str(roster["federation"]), keys)
        except JsonRefused as error:
            raise RunWithoutLogs(
                f"the run's roster {error}",
                hint="put the roster that the run's parties went by in its place",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise RunWithoutLogs("the run's roster is malformed") from None


def find_roster(run_folder: Path) -> Path:
    """The roster that a run's parties went by: in ``log/``, else in the coordinator's kit.

    Raises:
        RunWithoutLogs: there is none.
    """
    for name in _ROSTERS:
        if (run_folder / name).is_file():
            return run_folder / name
    raise RunWithoutLogs(
        f"{run_folder} holds no roster, so no log can be checked",
        hint="give the folder of a run, as `fedmrg run` made it",
        location=str(run_folder),
    )


def find_logs(run_folder: Path) -> dict[str, list[Path]]:
    """The log folders of a run by party: where the party writes, and the copy in ``log/``."""
    homes = {path.name: path / "log" for path in sorted(run_folder.glob("sites/*"))}
    homes[COORDINATOR] = run_folder / COORDINATOR / "log"
    copies = {path.name: path for path in sorted(run_folder.glob("log/*")) if path.is_dir()}
    found: dict[str, list[Path]] = {}
    for folders in (copies, homes):
        for party, folder in folders.items():
            if any((folder / name).exists() for name in (ENTRIES_FILE, CHECKPOINTS_FILE)):
                found.setdefault(party, []).append(folder)
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of one party's log came to.

    Args:
        party: whose log.
        log: the log, if it is whole in itself.
        problem: what is wrong with it, by itself or against the others' logs.
    """

    party: str
    log: VerifiedLog | None
    problem: LogInvalid | None


def judge_run(run_folder: Path, keys: LogKeys) -> list[Verdict]:
    """Check every party's log of a run and, if all are whole, compare them.

    Args:
        run_folder: as `fedmrg run` made it; finished or not.
        keys: who may sign which log.

    Returns:
        One verdict for each party with a log or a missing one, the coordinator's first.
    """
    folders = find_logs(run_folder)
    parties = sorted({COORDINATOR, *folders}, key=lambda name: (name != COORDINATOR, name))
    verdicts: list[Verdict] = []
    lost: set[str] = set()
    for party in parties:
        verdict = _judge(party, folders.get(party, []), keys, killed=party in lost)
        verdicts.append(verdict)
        if party == COORDINATOR and verdict.log is not None:
            lost = _without_word(verdict.log, parties)
    logs = {verdict.party: verdict.log for verdict in verdicts if verdict.log is not None}
    if len(logs) < len(verdicts):
        return verdicts
    try:
        cross_check(logs)
    except LogInvalid as problem:
        others = [verdict for verdict in verdicts if verdict.party != problem.party]
        verdicts = [*others, Verdict(problem.party, logs.get(problem.party), problem)]
    return sorted(verdicts, key=lambda verdict: (verdict.party != COORDINATOR, verdict.party))


def verify_run(run_folder: Path, keys: LogKeys | None = None) -> list[VerifiedLog]:
    """Check every party's log of a run, then compare them; see `judge_run`.

    Args:
        run_folder: as `fedmrg run` made it; finished or not.
        keys: who may sign which log; those that the run's own roster states, unless given.

    Returns:
        The logs, the coordinator's first, then by name.

    Raises:
        LogInvalid: naming the party, the first bad entry and the reason.
        RunWithoutLogs: there is nothing to check.
    """
    keys = keys or LogKeys.stated_by(find_roster(run_folder).read_bytes())
    verdicts = judge_run(run_folder, keys)
    for verdict in verdicts:
        if verdict.problem is not None:
            raise verdict.problem
    return [verdict.log for verdict in verdicts if verdict.log is not None]


def _judge(party: str, folders: Sequence[Path], keys: LogKeys, *, killed: bool) -> Verdict:
    """Check each copy of a party's log; the longest one stands for the party."""
    key = keys.public_keys.get(party)
    longest: VerifiedLog | None = None
    for folder in folders:
        try:
            if key is None:
                raise LogInvalid(party, None, "the roster knows no such party")
            origin = log_origin(keys.federation, party)
            log = verify_log(folder, party, origin, key, killed=killed)
            longest = _longer_of(longest, log)
        except LogInvalid as problem:
            problem.location = str(folder)
            return Verdict(party, None, problem)
    if longest is None:
        return Verdict(party, None, LogInvalid(party, None, "there is no log"))
    return Verdict(party, longest, None)


def _without_word(log: VerifiedLog, parties: Sequence[str]) -> set[str]:
    """Sites whose process may have been killed: lost, or any while the session has not ended."""
    kinds = {event["type"] for event in log.events}
    if not kinds & {"session.finished", "session.failed"}:
        return {party for party in parties if party != COORDINATOR}
    return {str(event["site"]) for event in log.events if event["type"] == "site.lost"}


def _longer_of(first: VerifiedLog | None, second: VerifiedLog) -> VerifiedLog:
    if first is None:
        return second
    short, long = sorted((first, second), key=lambda log: log.size)
    for size in range(short.size + 1):
        if short.roots[size] != long.roots[size]:
            raise LogInvalid(short.party, size - 1, "it differs between two copies: a fork")
    return long
