"""Tasks of FL-MRG as run configurations, and a method's configuration at one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from fedmrg_secure.benchmark.methods import Changes, Method
from fedmrg_secure.benchmark.tuned import tuned_values
from fedmrg_secure.core.config import PhantomData, RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.types import party_name
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.data.task import describe_task

TASKS: Final = ("phantom", "covid-cxr", "iu-xray")
_FOLDER: Final = Path(__file__).parent / "task_configs"


class UnknownTask(InputError):
    """`--task` names no built-in task."""

    code: ClassVar[str] = "FMRG-8212"


class UnknownTrainingSite(InputError):
    """`federation.sites` names a centre that does not participate."""

    code: ClassVar[str] = "FMRG-8214"


class NoLedgerHere(InputError):
    """A benchmark is to train privately on patients' data, and would charge it to no ledger."""

    code: ClassVar[str] = "FMRG-8217"


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """What all methods have in common.

    Attributes:
        name: of the task, or of the configuration where it is not a built-in one.
        path: the YAML file.
        overrides: ``a.b=c`` each, from the command line.
        base: the file with the overrides.
    """

    name: str
    path: Path
    overrides: tuple[str, ...]
    base: RunConfig

    def config(self, method: Method, seed: int, *, sites: int) -> RunConfig:
        """The configuration of one job.

        Later ones win: the file, the values tuned for this method, the command line, the method's
        definition. `central` makes the steps of all sites, so that each record is seen as often.

        Args:
            method: what to run.
            seed: of initial weights and training order.
            sites: how many sites train.

        Raises:
            ErrorGroup: the result does not fit together.
        """
        changes = [
            *_written(tuned_values(self.name, method)),
            *self.overrides,
            *_written(method.definition),
            f"seed={seed}",
        ]
        if method.scope == "central":
            steps = load_run_config(self.path, changes).training.local_steps
            changes.append(f"training.local_steps={steps * sites}")
        return load_run_config(self.path, changes)


def load_task(
    name: str | None,
    *,
    config: Path | None = None,
    data: Path | None = None,
    overrides: Sequence[str] = (),
) -> BenchmarkTask:
    """A built-in task, or any run configuration.

    Args:
        name: one of `TASKS`; None takes the configuration's own name.
        config: a YAML file in place of the built-in one.
        data: the folder of the data, ``data.root``.
        overrides: ``a.b=c`` each.

    Raises:
        UnknownTask: there is neither a file nor a task of that name.
        NoLedgerHere: the file is of a private run on data that has patients.
        ErrorGroup: every mistake of the file and the overrides.
    """
    if config is None and name not in TASKS:
        raise UnknownTask(
            f"there is no task {name!r}" if name else "no task is named",
            hint=f"--task is one of {', '.join(TASKS)}; --config takes any run configuration",
        )
    path = _FOLDER / f"{name}.yaml" if config is None else config
    # JSON's text is YAML's quoted text.
    root = () if data is None else (f"data.root={json.dumps(str(data))}",)
    changes = (*root, *overrides)
    base = load_run_config(path, changes)
    if base.privacy is not None and not isinstance(base.data, PhantomData):
        raise NoLedgerHere(
            f"{path} is of a private run, and a benchmark charges no ledger",
            hint="train it by `fedmrg run`, or leave privacy out",
        )
    return BenchmarkTask(name or base.name, path, changes, base)


def _written(changes: Changes) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def training_sites(config: RunConfig) -> tuple[str, ...]:
    """Party names of the sites that train: `federation.sites`, or all that participate.

    Raises:
        UnknownTrainingSite: a site is no participating centre of the data.
        DataError: the data cannot be read.
    """
    known = describe_task(config.data).participating
    asked = config.federation.sites
    sites = tuple(sorted(known if asked is None else map(party_name, asked)))
    if unknown := sorted(set(sites) - set(known)):
        raise UnknownTrainingSite(
            f"federation.sites names {', '.join(unknown)}",
            hint=f"participating centres are {', '.join(sorted(known))}",
        )
    return sites
