"""``fedmrg audit``: attacks on our own guarantees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedmrg_secure.cli.output import JsonOption, Output, error_json

if TYPE_CHECKING:
    from fedmrg_secure.privacy_audit.verdict import Judgement, MechanismAudit

_EPSILONS: Final = (1.0, 4.0, 8.0)

_THREAT_MODEL: Final = (
    "who reads the release of every step, knows the configuration and where a canary would be, "
    "and has chosen its gradients; does not know the noise, nor who is drawn"
)
_ESTIMATOR: Final = (
    "error rates of a fixed threshold, exact binomial limits (Clopper-Pearson), to mu of Gaussian "
    "differential privacy, to epsilon at delta"
)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Attack our own guarantees, to see whether they hold.", no_args_is_help=True
    )
    group.callback()(_group)  # a group of one command stays a group
    group.command("mechanism")(mechanism)
    app.add_typer(group, name="audit")


def _group() -> None:
    """Attack our own guarantees, to see whether they hold."""


def mechanism(
    epsilon: Annotated[
        list[float] | None,
        typer.Option(
            "--epsilon",
            min=0.2,
            max=10.0,
            help="A claim to audit. Repeatable.",
            show_default="1, 4 and 8",
        ),
    ] = None,
    delta: Annotated[float, typer.Option(min=1e-9, max=1e-3, help="Of all claims.")] = 1e-5,
    trials: Annotated[
        int | None,
        typer.Option(
            min=10_000,
            max=10_000_000,
            help="With a canary, and as many without, for each claim.",
            show_default="as many as a claim takes, 10000 at least",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Attack the mechanism of private training, and say whether its epsilon can hold.

    Canaries are sent through the code that trains: patients whose gradient has one coordinate
    alone. Half of them are in the data. From how often an onlooker is wrong about which follows
    an epsilon that has been shown: the estimate, a lower limit. Other attacks look for noise that
    repeats, for what tells of the number of patients, and for batches that are not drawn by coins.
    It reads no data and no configuration, and every audit draws fresh noise.

    FAIL: more can be learned than is claimed. UNDERPOWERED: less than 85 % of the claim was shown,
    which speaks neither for it nor against it. NOT_FALSIFIED: the estimate is within 15 % of the
    claim and not above it. That is no proof of privacy.

    The same audit then runs on mutants, mechanisms that are broken on purpose, and must flag each.
    Exit code 1 if a claim is not NOT_FALSIFIED or a mutant goes unseen. A sound mechanism gives
    that in one of a thousand audits at most. docs/privacy.md says what each attack can see.

    Examples:

      fedmrg audit mechanism

      fedmrg audit mechanism --epsilon 2 --delta 1e-6

      fedmrg audit mechanism --json
    """
    from fedmrg_secure.privacy_audit.mechanism import audit_mechanism

    output = Output(as_json=as_json)
    claims = sorted(set(epsilon or _EPSILONS))
    with _Progress(output) as on_progress:
        audit = audit_mechanism(claims, delta, trials=trials, on_progress=on_progress)
    _show(output, audit)
    problem = audit.problem
    result = _to_json(audit)
    if problem is None:
        output.say("No claim is falsified, and every mutant is flagged.")
        output.result(result)
        return
    output.note(problem.explain())
    output.result({**result, **error_json(problem)})
    raise typer.Exit(problem.exit_code)


def _show(output: Output, audit: MechanismAudit) -> None:
    first = audit.claims[0]
    terms = first.claim.terms
    output.table(
        f"The mechanism that trains, at delta {first.claim.delta:g}",
        ["claimed epsilon", "estimate", "interval", "accountant", "trials", "verdict"],
        [_claim_row(each) for each in audit.claims],
    )
    output.table(
        f"Mutants, at epsilon {max(each.claim.epsilon for each in audit.claims):g}",
        ["what is wrong", "estimate", "caught by", "verdict"],
        [
            [name, _figure(each.shown.estimate), ", ".join(each.caught_by) or "-", each.verdict]
            for name, each in audit.mutants.items()
        ],
    )
    said = {
        "unit": f"the {terms.unit}, with all records, added or removed",
        "claim": f"for {terms.steps} steps together, at clip norm {terms.clip_norm:g}",
        "sampler": f"Poisson; {_sampling()}",
        "estimate": f"{_ESTIMATOR}; a one-sided limit at {_percent(first.confidence)}",
        "interval": "two-sided, of the same confidence",
        "canaries": f"{first.canaries:,} patients with one coordinate each, and as many left out",
        "trials": "releases with a canary, and as many without",
        "threat model": _THREAT_MODEL,
        "false alarms": f"{_false_alarm():g} in all claims together, at most",
    }
    for name, words in said.items():
        output.say(f"{name + ':':14}{words}")


def _claim_row(judged: Judgement) -> list[object]:
    claim, shown = judged.claim, judged.shown
    return [
        f"{claim.epsilon:g}",
        _figure(shown.estimate),
        f"{_figure(shown.low)} to {_figure(shown.high)}",
        f"{claim.accountant} {claim.account.epsilon:.3f}",
        f"{judged.trials:,}",
        judged.verdict + (f" ({', '.join(judged.caught_by)})" if judged.caught_by else ""),
    ]


def _to_json(audit: MechanismAudit) -> dict[str, Any]:
    """The figures at the top are those of the claim with the worst verdict, of equals the first."""
    terms = audit.decisive.claim.terms
    return {
        **_figures(audit.decisive),
        "ok": audit.problem is None,
        "unit": terms.unit,
        "relation": "add or remove one",
        "steps": terms.steps,
        "clip_norm": terms.clip_norm,
        "sampler": f"Poisson; {_sampling()}",
        "estimator": _ESTIMATOR,
        "threat_model": _THREAT_MODEL,
        "false_alarm": _false_alarm(),
        "claims": [
            {
                **_figures(each),
                "confidence": each.confidence,
                "trials": each.trials,
                "canaries": each.canaries,
                "noise_multiplier": each.claim.noise_multiplier,
                "accountant": each.claim.accountant,
                "accounted_epsilon": each.claim.account.epsilon,
                "checks": [
                    {
                        "name": check.name,
                        "failed": check.failed,
                        "figures": {n: _finite(value) for n, value in check.figures.items()},
                        "limit": check.limit,
                    }
                    for check in each.checks
                ],
            }
            for each in audit.claims
        ],
        "mutants": [
            {"name": name, **_figures(each), "caught_by": list(each.caught_by)}
            for name, each in audit.mutants.items()
        ],
    }


def _figures(judged: Judgement) -> dict[str, Any]:
    return {
        "claimed_epsilon": judged.claim.epsilon,
        "delta": judged.claim.delta,
        "estimate": _finite(judged.shown.estimate),
        "low": _finite(judged.shown.low),
        "high": _finite(judged.shown.high),
        "verdict": str(judged.verdict),
    }


def _sampling() -> str:
    from fedmrg_secure.privacy_audit.mechanism import SAMPLING_RATE

    return f"rate 1 in trials, {SAMPLING_RATE:g} where who is drawn is looked at"


def _false_alarm() -> float:
    from fedmrg_secure.privacy_audit.mechanism import FALSE_ALARM

    return FALSE_ALARM


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "no end"


def _percent(confidence: float) -> str:
    return f"{100 * confidence:.4g} %"


class _Progress:
    """A bar on a terminal's stderr; else a line for each audit."""

    def __init__(self, output: Output) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._output = output
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(console=self._console, transient=True)
        self._bar = self._bars.add_task("", total=None)

    def __enter__(self) -> Callable[[int, int, str], None]:
        if self._console.is_terminal:
            self._bars.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def _tell(self, done: int, total: int, name: str) -> None:
        self._bars.update(self._bar, completed=done, total=total, description=name)
        if name and not self._console.is_terminal:
            self._output.note(f"{done + 1}/{total} auditing {name} ...")
