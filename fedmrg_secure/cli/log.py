"""``fedmrg log``: check and read the tamper-evident logs of a run, offline."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmrg_secure.cli.output import JsonOption, Output, error_json

if TYPE_CHECKING:
    from fedmrg_secure.audit_log.verify import LogKeys, Verdict

RunArgument = Annotated[Path, typer.Argument(help="The run's folder.", show_default=False)]
AuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--authority",
        help="The federation's root certificate, from a source that you trust.",
        show_default="the one in RUN/coordinator/kit",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Check and read a run's tamper-evident logs.", no_args_is_help=True)
    group.command("verify")(verify)
    group.command("show")(show)
    app.add_typer(group, name="log")


def verify(
    run: RunArgument, authority: AuthorityOption = None, as_json: JsonOption = False
) -> None:
    """Check every party's log, offline, and compare them.

    Every entry's hash, the Merkle root after each entry and the signature over it are recomputed;
    then the parties' logs must agree on plans, sums and models. The roster that says who may sign
    is checked up to the federation's root certificate. Exit code 1 names the first bad entry.

    A privacy ledger that sites logged as restored or begun anew is named too; the logs are whole
    all the same.

    Example:

      fedmrg log verify runs/quickstart

      fedmrg log verify runs/quickstart --authority authority.pem --json
    """
    from fedmrg_secure.audit_log.ledgers import doubted_ledgers
    from fedmrg_secure.audit_log.verify import judge_run

    output = Output(as_json=as_json)
    keys, anchor = _trusted_keys(run, authority)
    verdicts = judge_run(run, keys)
    problems = [verdict.problem for verdict in verdicts if verdict.problem is not None]
    output.table(
        f"Logs of {keys.federation}",
        ["party", "entries", "checkpoints", "root", "verdict"],
        [_row(verdict) for verdict in verdicts],
    )
    if anchor is None:
        output.note("The roster's own signature was not checked: give --authority.")
    else:
        output.say(f"Anchored in the root certificate {anchor}.")
    doubted = doubted_ledgers([verdict.log for verdict in verdicts if verdict.log is not None])
    for each in doubted:
        output.note(f"Logged: {each.explain()}.")
    result: dict[str, Any] = {
        "ok": not problems,
        "federation": keys.federation,
        "authority_sha256": anchor,
        "logs": [_verdict_json(verdict) for verdict in verdicts],
        "ledgers_discontinued": [asdict(each) for each in doubted],
    }
    if not problems:
        output.say("All logs are whole, and they agree.")
        output.result(result)
        return
    first = problems[0]
    output.note(first.explain())
    output.result(
        {
            **result,
            "party": first.party,
            "entry": first.entry,
            "reason": first.reason,
            **error_json(first),
        }
    )
    raise typer.Exit(first.exit_code)


def show(
    run: RunArgument,
    party: Annotated[
        str | None,
        typer.Option(help="Only this party's log.", show_default="every party's"),
    ] = None,
    authority: AuthorityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the events of a run's logs, after checking them.

    Example:

      fedmrg log show runs/quickstart --party coordinator
    """
    from fedmrg_secure.audit_log.verify import RunWithoutLogs, verify_run

    output = Output(as_json=as_json)
    logs = verify_run(run, _trusted_keys(run, authority)[0])
    shown = [log for log in logs if party in (None, log.party)]
    if not shown:
        known = ", ".join(log.party for log in logs)
        raise RunWithoutLogs(f"{run} holds no log of {party}", hint=f"there are logs of {known}")
    for log in shown:
        for event in log.events:
            details = " ".join(
                f"{field}={_short(value)}"
                for field, value in event.items()
                if field not in ("seq", "time", "type")
            )
            line = f"{event['time']} {log.party:16} {event['seq']:5} {event['type']:19} {details}"
            output.say(line.rstrip())
    output.result({"logs": [{"party": log.party, "events": list(log.events)} for log in shown]})


def _trusted_keys(run: Path, authority: Path | None) -> tuple[LogKeys, str | None]:
    """Who may sign, and the fingerprint of the root that says so (None: nobody says so)."""
    from fedmrg_secure.audit_log.verify import LogKeys, find_roster
    from fedmrg_secure.crypto.certificates import fingerprint, load_certificate
    from fedmrg_secure.crypto.roster import read_past_roster

    roster_file = find_roster(run).read_bytes()
    path = authority or run / "coordinator" / "kit" / "authority.pem"
    if authority is None and not path.is_file():
        return LogKeys.stated_by(roster_file), None
    authority_pem = path.read_bytes()
    roster = read_past_roster(roster_file, authority_pem)
    return LogKeys(roster.federation, roster.public_keys), fingerprint(
        load_certificate(authority_pem)
    )


def _row(verdict: Verdict) -> list[object]:
    problem, log = verdict.problem, verdict.log
    if problem is None:
        judged = "whole, being written" if log is not None and log.live else "whole"
    else:
        judged = "BAD" if problem.entry is None else f"BAD at entry {problem.entry}"
    if log is None:
        return [verdict.party, "", "", "", judged]
    return [verdict.party, log.size, log.checkpoints, f"{log.root_hex[:16]}…", judged]


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    log, problem = verdict.log, verdict.problem
    return {
        "party": verdict.party,
        "ok": problem is None,
        "entries": None if log is None else log.size,
        "root": None if log is None else log.root_hex,
        "checkpoints": None if log is None else log.checkpoints,
        "live": log is not None and log.live,
        "bad_entry": None if problem is None else problem.entry,
        "reason": None if problem is None else problem.reason,
    }


def _short(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
