"""Judging a run from its folder, while it trains or after: behind ``fedmrg evaluate``.

The evaluator is no party of the protocol. It reads the shared state that a site of the same
machine left after a round, and the test records of all centres, which only a benchmark has in one
place. At a participating centre it judges the model that this centre uses, with the specialized
part that its site has left, and beside it, once at the end, the generic path; at an unseen centre
there is the generic path only. Between rounds the generic path is judged everywhere: sites choose
how to mix when the last round is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.evaluation.judging import (
    Centre,
    Judge,
    Judgement,
    Metrics,
    OnRecords,
    Scorer,
    Stopped,
    load_centres,
)
from fedmrg_secure.federation.run_folder import RunFolder, write_json
from fedmrg_secure.federation.samples import write_samples
from fedmrg_secure.federation.states import (
    GENERIC_PATH,
    State,
    newest_state,
    path_title,
    read_own_part,
    read_state,
    require_same_base,
    sites_with_own_part,
    state_files,
    state_folders,
)
from fedmrg_secure.federation.trained_model import model_state, passes_of
from fedmrg_secure.model.report_generator import build_report_generator

_POLL_S: Final = 0.3
_ENDED: Final = ("finished", "failed")

OnJudged = Callable[[int, str, Metrics, bool], None]
"""Told after a judged round, once a role: round, role, mean of each metric over its centres, and
whether some of these centres wrote with a specialized adapter."""


Comparison = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Role -> metric -> {"untrained": value, "final": value}."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate_run`.

    Attributes:
        round: the last round judged; 0 is the untrained model.
        untrained: centre -> metric -> value before training.
        final: the same after `round`.
        mean: role -> metric -> {"untrained", "final"}, each centre counting once.
        pooled: the same with all records of a role taken as one set: steadier where centres have
            few records.
        paths: centre -> which way through the decoder `final` was written by, see `path_title`.
        generic: centre -> `final` as the generic path gives it, where `final` is of another.
    """

    round: int
    untrained: Mapping[str, Metrics]
    final: Mapping[str, Metrics]
    mean: Comparison
    pooled: Comparison
    paths: Mapping[str, str]
    generic: Mapping[str, Metrics]


def evaluate_run(
    root: Path,
    *,
    follow: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    on_judged: OnJudged = lambda *_: None,
    on_records: OnRecords = lambda *_: None,
    scorers: Sequence[Scorer] = (),
) -> Evaluation | None:
    """Judge a run at all its centres and write what was found into its folder.

    Every judged round gives a row a centre in ``metrics.jsonl``; at the end ``samples/`` and the
    evaluation's part of ``summary.json`` are written.

    Args:
        root: the run's folder.
        follow: judge every `evaluation.every` rounds as they appear, until the last one is there or
            ``run.json`` says that the run has ended; else judge the untrained and the newest state
            only.
        stopped: asked often; True ends the work early.
        on_judged: told the means of each judged round.
        on_records: told how many records of a round are judged, as it goes.
        scorers: further metrics, of the untrained and the last state on all records.

    Returns:
        The result, or None when it was stopped.

    Raises:
        NoTrainedState: without `follow`, when nothing was trained.
        FedmrgError: configuration, data or model do not load.
    """
    config = load_run_config(root / "config.yaml")
    work = _Work(RunFolder(root), config, stopped, on_judged, on_records, scorers)
    if not follow:
        work.require_trained()
    try:
        return work.follow() if follow else work.finish()
    except Stopped:
        return None


class _Work:
    """One run of the evaluator."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        stopped: Callable[[], bool],
        on_judged: OnJudged,
        on_records: OnRecords,
        scorers: Sequence[Scorer],
    ) -> None:
        self._folder, self._settings, self._scorers = folder, config.evaluation, scorers
        self._on_judged, self._on_records, self._stopped = on_judged, on_records, stopped
        self._rounds = config.training.rounds
        self._passes = passes_of(config)
        size = config.data.image_size
        self._generator = build_report_generator(
            config.model, config.update, image_size=size, seed=config.seed
        )
        require_same_base(folder.root, self._generator.base_hash)
        self._initial = self._generator.shared_state()
        most = max(self._settings.final_records_per_centre, self._settings.records_per_centre)
        self._centres = load_centres(config.data, at_most=most)
        self._image_size = size
        self._judge = self._judge_of(self._centres)

    def _judge_of(self, centres: Sequence[Centre]) -> Judge:
        return Judge(
            self._generator,
            centres,
            image_size=self._image_size,
            stopped=self._stopped,
            on_records=self._on_records,
        )

    def require_trained(self) -> None:
        """Return if there is a state to judge, else raise `NoTrainedState`."""
        newest_state(self._folder.root, passes=self._passes)

    def follow(self) -> Evaluation:
        """Judge rounds as they appear, then finish."""
        judged = {row["round"] for row in self._rows() if not row["final"]}
        if 0 not in judged:
            self._judge_round(0, self._initial, full=True)
        while True:
            files = self._files()
            ended = self._is_complete(files) or self._run_has_ended()
            due = [n for n in files if n % self._settings.every == 0 and n not in judged and n]
            last = max(files, default=0) if ended else self._rounds
            due = [number for number in due if number != last]
            for number in due:
                self._judge_round(number, self._read(files[number]), full=False)
                judged.add(number)
            if ended:
                return self.finish()
            if not due:
                self._pause()

    def _files(self) -> dict[int, Path]:
        return state_files(self._folder.root, passes=self._passes)

    def _read(self, path: Path) -> State:
        return model_state(read_state(path))

    def _is_complete(self, files: Mapping[int, Path]) -> bool:
        """Whether every round has left a state and every site its own part."""
        if sum(1 for number in files if number) < self._rounds:
            return False
        root = self._folder.root
        own = sites_with_own_part(root)
        return not self._generator.has_specialized or own == tuple(state_folders(root))

    def _run_has_ended(self) -> bool:
        return self._folder.read_manifest().get("status") in _ENDED

    def finish(self) -> Evaluation:
        """Judge the untrained and the newest state on all test records; write the end's files."""
        files = self._files()
        last = max(files, default=0)
        state = self._read(files[last]) if last else self._initial
        own = self._own_parts() if last else {}
        known = None if self._scorers else self._untrained()
        untrained = known or self._judge_round(0, self._initial, full=True)
        final = self._judge_round(last, state, full=True, own=own) if last else untrained
        paths = {centre.name: GENERIC_PATH for centre in self._centres}
        result = Evaluation(
            round=last,
            untrained=untrained,
            final=final,
            mean=self._means(untrained, final),
            pooled=self._pooled(last),
            paths=paths | {name: path_title(_mix(part)) for name, part in own.items()},
            generic={
                row["centre"]: row["metrics"]
                for row in self._rows("generic")
                if row["round"] == last
            },
        )
        write_samples(
            self._folder.root / "samples",
            self._generator,
            self._centres,
            self._initial,
            state,
            own=own,
            per_centre=self._settings.samples_per_centre,
            image_size=self._image_size,
        )
        self._write_summary(result)
        return result

    def _own_parts(self) -> dict[str, State]:
        """The specialized part of every centre that writes with it; one may have chosen not to."""
        root = self._folder.root
        parts = {name: read_own_part(root, name) for name in sites_with_own_part(root)}
        judged = {centre.name for centre in self._centres}
        return {name: part for name, part in parts.items() if name in judged and _mix(part)}

    def _untrained(self) -> dict[str, Metrics] | None:
        """What an earlier pass found of the untrained model, if it is complete."""
        found = {row["centre"]: row["metrics"] for row in self._rows() if _is_untrained(row)}
        pooled = {row["role"] for row in self._rows("pooled") if row["round"] == 0}
        complete = set(found) == {centre.name for centre in self._centres}
        return found if complete and pooled == set(self._roles()) else None

    def _judge_round(
        self, number: int, state: State, *, full: bool, own: Mapping[str, State] | None = None
    ) -> dict[str, Metrics]:
        """Judge one state; `full`: on all records too. Returns the metrics on the larger set.

        Args:
            number: of the training round.
            state: the shared one after it.
            full: whether this is the untrained or the last state.
            own: specialized parts by centre, for the larger set.
        """
        self._generator.load_shared_state(state)
        few, most = self._settings.records_per_centre, self._settings.final_records_per_centre
        generic = self._judge.judge(max(few, most) if full else few)
        rows = [self._row(number, judgement, few, final=False) for judgement in generic]
        if full:
            chosen = self._judge_own(generic, most, own or {})
            rows += [
                self._row(number, judgement, most, final=True, own=own) for judgement in chosen
            ]
            rows += [
                self._row(number, judgement, most, final=True) | {"kind": "generic"}
                for judgement in generic
                if judgement.centre.name in (own or {})
            ]
            rows += self._pooled_rows(number, chosen, most)
        for row in rows:
            self._folder.append_metrics(row)
        rows = [row for row in rows if row["kind"] == "evaluation"]
        result = {row["centre"]: row["metrics"] for row in rows if row["final"] == full}
        for role, names in self._roles().items():
            self._on_judged(
                number, role, _mean(result, names), not set(names).isdisjoint(own or {})
            )
        return result

    def _judge_own(
        self, generic: Sequence[Judgement], count: int, own: Mapping[str, State]
    ) -> list[Judgement]:
        """The judgements with those of centres that have an own part replaced by theirs."""
        if not own:
            return list(generic)
        judge = self._judge_of([centre for centre in self._centres if centre.name in own])
        theirs = {judgement.centre.name: judgement for judgement in judge.judge(count, own)}
        return [theirs.get(judgement.centre.name, judgement) for judgement in generic]

    def _row(
        self,
        number: int,
        judgement: Judgement,
        count: int,
        *,
        final: bool,
        own: Mapping[str, State] | None = None,
    ) -> dict[str, Any]:
        centre = judgement.centre
        part = (own or {}).get(centre.name)
        return {
            "kind": "evaluation",
            "round": number,
            "centre": centre.name,
            "title": centre.title,
            "role": centre.role,
            "records": len(centre.records[:count]),
            "final": final,
            "path": GENERIC_PATH if part is None else path_title(_mix(part)),
            "metrics": self._judge.score([judgement], count, self._scorers if final else ()),
        }

    def _pooled_rows(
        self, number: int, judgements: Sequence[Judgement], count: int
    ) -> list[dict[str, Any]]:
        """A row a role: all its records as one set."""
        rows = []
        for role in self._roles():
            own = [judged for judged in judgements if judged.centre.role == role]
            rows.append(
                {
                    "kind": "pooled",
                    "round": number,
                    "role": role,
                    "records": sum(len(judged.centre.records[:count]) for judged in own),
                    "metrics": self._judge.score(own, count, self._scorers),
                }
            )
        return rows

    def _rows(self, kind: str = "evaluation") -> list[dict[str, Any]]:
        return [row for row in self._folder.read_metrics() if row.get("kind") == kind]

    def _means(self, untrained: Mapping[str, Metrics], final: Mapping[str, Metrics]) -> Comparison:
        return {
            role: _compare(_mean(untrained, names), _mean(final, names))
            for role, names in self._roles().items()
        }

    def _pooled(self, last: int) -> Comparison:
        found = {(row["round"], row["role"]): row["metrics"] for row in self._rows("pooled")}
        return {role: _compare(found[0, role], found[last, role]) for role in self._roles()}

    def _roles(self) -> dict[str, list[str]]:
        """The centres' names by role; a role without centres is left out."""
        roles: dict[str, list[str]] = {}
        for centre in self._centres:
            roles.setdefault(centre.role, []).append(centre.name)
        return roles

    def _write_summary(self, result: Evaluation) -> None:
        part = {
            "untrained": result.untrained,
            "final": result.final,
            "mean": result.mean,
            "pooled": result.pooled,
            "paths": result.paths,
            "generic": result.generic,
        }
        write_json(self._folder.summary, {**self._folder.read_summary(), **part})

    def _pause(self) -> None:
        if self._stopped():
            raise Stopped
        time.sleep(_POLL_S)


def _mix(part: State) -> float:
    """The weight of path B that a centre has chosen."""
    return float(part["specialized.mix"][0])


def _is_untrained(row: Mapping[str, Any]) -> bool:
    return bool(row["final"]) and row["round"] == 0


def _compare(before: Metrics, after: Metrics) -> dict[str, dict[str, float]]:
    return {
        metric: {"untrained": before[metric], "final": after[metric]}
        for metric in after
        if metric in before
    }


def _mean(results: Mapping[str, Metrics], names: list[str]) -> Metrics:
    """The mean of each metric over the centres that have it."""
    metrics = dict.fromkeys(metric for name in names for metric in results.get(name, {}))
    means = {}
    for metric in metrics:
        values = [results[name][metric] for name in names if metric in results.get(name, {})]
        means[metric] = sum(values) / len(values)
    return means
