"""``fedmrg budget``: what was spent of a site's privacy budgets, and what is left."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from fedmrg_secure.cli.output import JsonOption, Output
from fedmrg_secure.core.errors import InputError

if TYPE_CHECKING:
    from fedmrg_secure.privacy.ledger import LedgerView

_SUFFIX: Final = ".jsonl"
_BAR: Final = 50


class NoLedger(InputError):
    """A folder holds no privacy ledger, or several where one must be named."""

    code: ClassVar[str] = "FMRG-1211"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("budget")(budget)


def budget(
    site: Annotated[
        Path,
        typer.Argument(
            help="The site's folder, a folder of ledgers, or one ledger.", show_default=False
        ),
    ],
    total: Annotated[
        float | None,
        typer.Option(
            "--set",
            metavar="EPSILON",
            help="Change what may be spent in all, from now on.",
            show_default=False,
        ),
    ] = None,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take a ledger that was moved to this place; the old file must be gone.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what was spent of a site's privacy budgets, by run and round, and what is left.

    A ledger belongs to one data set, one unit (patient or record) and one delta, and to all runs
    that ever train on that data. Epsilon is worked out anew from everything in it, and the ledger
    is checked: a changed, shortened or copied one is refused. A round that was begun and never
    ended counts as spent.

    Rounds do not add up: each costs less than the first, so the column "adds" gets smaller.

    Examples:

      fedmrg budget /srv/fedmrg/st-anna

      fedmrg budget /srv/fedmrg/st-anna/ledgers/chest-patient-1e-05.jsonl --set 8

      fedmrg budget /srv/fedmrg/st-anna --json
    """
    from fedmrg_secure.privacy import ledger

    output = Output(as_json=as_json)
    paths = find_ledgers(site)
    if (adopt or total is not None) and len(paths) != 1:
        raise NoLedger(
            f"{site} holds {len(paths)} ledgers",
            hint=f"name the one to change: {', '.join(map(str, paths))}",
        )
    if adopt:
        ledger.adopt(paths[0])
    if total is not None:
        ledger.set_budget(paths[0], total)
    views = [(path, ledger.read_ledger(path)) for path in paths]
    for _, view in views:
        _show(output, view)
    output.result({"ledgers": [_to_json(path, view) for path, view in views]})


def find_ledgers(place: Path) -> list[Path]:
    """The ledgers of a site's folder, in a folder of ledgers, or the one that is named.

    Raises:
        NoLedger: there is none.
    """
    if place.is_file():
        return [place]
    from fedmrg_secure.client.privacy import LEDGERS

    for folder in (place / LEDGERS, place):
        if found := sorted(folder.glob(f"*{_SUFFIX}")):
            return found
    raise NoLedger(
        f"{place} holds no privacy ledger",
        hint="a ledger is begun by the first private run; name the site's folder, the folder that "
        "privacy.ledgers names, or a ledger",
    )


def _show(output: Output, view: LedgerView) -> None:
    spent = view.account
    share = min(1.0, spent.epsilon / view.budget)
    filled = math.ceil(share * _BAR) if spent.epsilon else 0
    output.say(f"Data set {view.dataset}, for each {view.unit}, at delta {view.delta:g}")
    output.say(f"  {'█' * filled}{'░' * (_BAR - filled)}  {100 * share:.0f} %")
    output.say(f"  epsilon {spent.epsilon:.3f} spent of {view.budget:g}, {view.remaining:.3f} left")
    others = {"RDP": spent.rdp, "PRV": spent.prv, "PLD": spent.pld}
    said = [f"{name} {_figure(value)}" for name, value in others.items() if value is not None]
    output.say(f"  accountants: {', '.join(said)}; the smaller of RDP and PRV is charged")
    open_rounds = sum(each.outcome is None for each in view.spendings)
    if open_rounds:
        output.say(f"  {open_rounds} of {len(view.spendings)} rounds never ended; they count")
    output.say(f"  head for peers: entry {view.head.entries}, {view.head.chain[:16]}…")
    if view.spendings:
        output.table(
            "",
            ["run", "round", "begun", "steps", "noise", "sampled", "outcome", "adds", "spent"],
            _rows(view),
        )


def _rows(view: LedgerView) -> list[list[object]]:
    rows: list[list[object]] = []
    before = 0.0
    for each in view.spendings:
        event = each.event
        rows.append(
            [
                f"{each.run[:12]}…" if len(each.run) > 13 else each.run,
                each.round,
                each.time,
                event.steps,
                f"{event.noise.noise_multiplier:.3g}",
                f"{event.sampling.rate:.3g}",
                each.outcome or "not ended",
                f"{each.epsilon_after - before:.3f}",
                f"{each.epsilon_after:.3f}",
            ]
        )
        before = each.epsilon_after
    return rows


def _to_json(path: Path, view: LedgerView) -> dict[str, Any]:
    account = view.account
    return {
        "ledger": str(path),
        "dataset": view.dataset,
        "unit": view.unit,
        "delta": view.delta,
        "budget": view.budget,
        "spent": account.epsilon,
        "left": view.remaining,
        "rdp": _finite(account.rdp),
        "prv": _finite(account.prv),
        "pld": None if account.pld is None else _finite(account.pld),
        "head": {"entries": view.head.entries, "chain": view.head.chain},
        "rounds": [
            {
                "run": each.run,
                "round": each.round,
                "time": each.time,
                "steps": each.event.steps,
                "noise_multiplier": each.event.noise.noise_multiplier,
                "sampling_rate": each.event.sampling.rate,
                "outcome": each.outcome,
                "epsilon_after": each.epsilon_after,
            }
            for each in view.spendings
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "does not apply"
