"""A sweep's YAML file: one run's configuration, a grid of changes to it, and what counts as useful.

Every point of the grid under every seed is one run. A point's configuration is worked out like any
run's: the base file, the command line's ``--set``, then what the point changes; all mistakes come
at once, each with its place, before anything is started.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Discriminator, Field, Tag

from fedmrg_secure.benchmark.methods import METHODS
from fedmrg_secure.core.config import PhantomData, RunConfig
from fedmrg_secure.core.config_errors import (
    DoesNotFit,
    NotAChoice,
    UnknownKey,
    all_keys,
    did_you_mean,
    entry_at,
)
from fedmrg_secure.core.config_section import Section
from fedmrg_secure.core.errors import ErrorGroup, FedmrgError, InputError
from fedmrg_secure.core.yaml_source import (
    Change,
    ConfigNotReadable,
    load_model,
    load_run_config,
    place_order,
)
from fedmrg_secure.core.yaml_tree import Entry
from fedmrg_secure.evaluation.scores import METRICS

SHORT_AXES: Final[Mapping[str, str]] = {
    "epsilon": "privacy.target_epsilon",
    "rank": "update.rank",
    "scheme": "secure_aggregation.scheme",
    "factorization": "update.factorization",
}
"""Names of axes that stand for a key of the configuration."""
METHOD_AXIS: Final = "method"
NOT_PRIVATE: Final = "inf"
"""The epsilon without a `privacy` section."""
_OWN_KEYS: Final = ("name", "seed")
_LONGEST_NAME: Final = 48


class PrivateWithoutLedger(InputError):
    """The runs of a sweep on patients' data would each begin a ledger of their own."""

    code: ClassVar[str] = "FMRG-8221"


class UnknownPoint(InputError):
    """`--only` names an axis or a value that the grid does not have."""

    code: ClassVar[str] = "FMRG-8222"


class GridValue(Section):
    """One value of an axis that says itself what it changes."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}$", description="what the point is called"
    )
    base: str | None = Field(
        None, min_length=1, description="another run's file in place of the sweep's own base"
    )
    set: dict[str, Any] = Field({}, description="dotted keys of the configuration and their values")


class Utility(Section):
    """Which figures say how good a run is."""

    metrics: list[str] = Field(
        ["ce_rule_f1_macro", "bleu4"],
        min_length=1,
        description="of the evaluation; the front goes by the first",
    )
    centre: str = Field(
        "all",
        min_length=1,
        description="all: the mean over a table's centres; pooled: all their records as one set; "
        "or a centre's name",
    )


def _form(value: object) -> str:
    return "section" if isinstance(value, dict) else "scalar"


_Value = Annotated[
    Annotated[bool | int | float | str, Tag("scalar")] | Annotated[GridValue, Tag("section")],
    Discriminator(_form),
]


class SweepFile(Section):
    """The whole file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    base: str = Field(min_length=1, description="a run's file, seen from the folder of this one")
    seeds: int = Field(3, ge=1, le=100, description="runs of each point, from the base's seed on")
    grid: dict[str, Annotated[list[_Value], Field(min_length=1)]] = Field(
        description="axes: a key of the configuration or a name, and its values"
    )
    utility: Utility = Utility()
    jobs: int | None = Field(None, ge=1, le=1024, description="runs at a time")


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the grid.

    Attributes:
        name: of its folder and in progress lines; no other point has it.
        settings: axis -> label of its value.
        configs: of its runs, one a seed.
    """

    name: str
    settings: Mapping[str, str]
    configs: tuple[RunConfig, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep whose points all have a sound configuration.

    Attributes:
        path: the file.
        file: its content.
        axes: axis -> labels of its values.
        points: in the order of the file, the last axis fastest.
    """

    path: Path
    file: SweepFile
    axes: Mapping[str, tuple[str, ...]]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One value of one axis: its label, another base or None, what it changes, where it stands."""

    axis: str
    label: str
    base: Path | None
    changes: tuple[Change, ...]
    at: str


def load_sweep(path: Path, overrides: Sequence[str] = (), *, seeds: int | None = None) -> Sweep:
    """Read a sweep and work out the configuration of every run.

    Args:
        path: the YAML file.
        overrides: ``a.b=c`` each, of every base; what a point changes comes after them.
        seeds: in place of the file's.

    Raises:
        ErrorGroup: every mistake of the sweep, its bases and its points, each with its place.
        PrivateWithoutLedger: a private point on patients' data has no lasting ledger.
    """
    file, root = load_model(path, SweepFile)
    errors: list[FedmrgError] = [*_unknown_metrics(file, root)]
    if not file.grid:
        hint = "for example epsilon: [inf, 8, 1]"
        place = entry_at(root, ("grid",))[0].at
        errors.append(DoesNotFit("grid has no axis", hint=hint, location=place))
    base = _base(path, file.base, entry_at(root, ("base",))[0], errors)
    axes = _axes(path, file, root, errors)
    if errors:
        raise ErrorGroup(_once(errors))
    assert base is not None
    first = load_run_config(base, overrides).seed
    numbers = range(first, first + (seeds or file.seeds))
    points: dict[str, Point] = {}
    for choices in product(*axes.values()):
        name, settings = _name(choices), {each.axis: each.label for each in choices}
        try:
            config = _configuration(base, overrides, choices)
        except FedmrgError as error:
            errors += _of_point(error, settings, path)
            continue
        if name in points:
            message = f"two points would both be called {name}"
            errors.append(DoesNotFit(message, hint="rename one", location=choices[-1].at))
        runs = ({"name": f"{name}-seed-{number}", "seed": number} for number in numbers)
        points[name] = Point(name, settings, tuple(config.model_copy(update=run) for run in runs))
        _require_ledger(config, settings)
    if errors:
        raise ErrorGroup(_once(errors))
    labels = {axis: tuple(each.label for each in values) for axis, values in axes.items()}
    return Sweep(path, file, labels, tuple(points.values()))


def choose_points(sweep: Sweep, chosen: Sequence[str]) -> tuple[Point, ...]:
    """The points that ``--only`` leaves.

    Args:
        sweep: from `load_sweep`.
        chosen: ``AXIS=LABEL[,LABEL...]`` each; none leaves all.

    Raises:
        UnknownPoint: an axis or a label is not of the grid.
    """
    wanted: dict[str, set[str]] = {}
    for text in chosen:
        axis, _, labels = text.partition("=")
        if axis not in sweep.axes:
            hint = did_you_mean(axis, list(sweep.axes)) or f"axes are {', '.join(sweep.axes)}"
            raise UnknownPoint(f"--only: the grid has no axis {axis!r}", hint=hint)
        known = sweep.axes[axis]
        for label in labels.split(","):
            if label not in known:
                hint = f"{axis} is one of {', '.join(known)}"
                raise UnknownPoint(f"--only: {axis} has no value {label!r}", hint=hint)
            wanted.setdefault(axis, set()).add(label)
    return tuple(
        point
        for point in sweep.points
        if all(point.settings[axis] in labels for axis, labels in wanted.items())
    )


def _unknown_metrics(file: SweepFile, root: Entry) -> Iterator[FedmrgError]:
    for index, name in enumerate(file.utility.metrics):
        if name not in METRICS:
            entry, _ = entry_at(root, ("utility", "metrics", index))
            hint = did_you_mean(name, METRICS) or f"choose from: {', '.join(METRICS)}"
            yield NotAChoice(f"there is no metric {name!r}", hint=hint, location=entry.at)


def _base(sweep: Path, given: str, entry: Entry, errors: list[FedmrgError]) -> Path | None:
    """The file that is meant, from the sweep's own folder; None after an error."""
    path = Path(os.path.normpath(sweep.parent / given))
    if path.is_file():
        return path
    hint = f"{path} is looked for: the path is seen from the sweep's own folder"
    errors.append(ConfigNotReadable(f"there is no file {given}", hint=hint, location=entry.at))
    return None


def _axes(
    path: Path, file: SweepFile, root: Entry, errors: list[FedmrgError]
) -> dict[str, list[_Choice]]:
    axes: dict[str, list[_Choice]] = {}
    for axis, values in file.grid.items():
        section, _ = entry_at(root, ("grid", axis))
        target = SHORT_AXES.get(axis, axis)
        scalars = any(not isinstance(value, GridValue) for value in values)
        if target in _OWN_KEYS:
            errors.append(_own_key(target, section))
        elif scalars and axis != METHOD_AXIS and target not in all_keys():
            known = (*SHORT_AXES, METHOD_AXIS, *all_keys())
            errors.append(
                UnknownKey(
                    f"grid.{axis} is no key of a configuration",
                    hint=did_you_mean(axis, known) or "give each value a name and a set of keys",
                    location=section.key_at,
                )
            )
        found: list[_Choice] = []
        for index, value in enumerate(values):
            entry, _ = entry_at(root, ("grid", axis, index))
            if isinstance(value, GridValue):
                choice = _named(path, axis, value, entry, errors)
            else:
                choice = _plain(axis, target, entry, errors)
            if choice.label in (each.label for each in found):
                message = f"grid.{axis} has {choice.label} twice"
                errors.append(DoesNotFit(message, location=entry.at))
            found.append(choice)
        axes[axis] = found
    return axes


def _named(
    path: Path, axis: str, value: GridValue, entry: Entry, errors: list[FedmrgError]
) -> _Choice:
    assert isinstance(entry.value, dict)
    base = None
    if value.base is not None:
        base = _base(path, value.base, entry.value["base"], errors)
    given = entry.value["set"].value if "set" in entry.value else {}
    assert isinstance(given, dict)
    errors.extend(_own_key(key, each) for key, each in given.items() if key in _OWN_KEYS)
    changes = tuple(Change(key, each) for key, each in given.items() if key not in _OWN_KEYS)
    return _Choice(axis, value.name, base, changes, entry.at)


def _plain(axis: str, target: str, entry: Entry, errors: list[FedmrgError]) -> _Choice:
    label = entry.raw
    changes: tuple[Change, ...] = (Change(target, entry),)
    if axis == "epsilon" and entry.value == NOT_PRIVATE:
        changes = (Change("privacy", Entry(None, entry.at, entry.at)),)
    elif axis == METHOD_AXIS:
        method = METHODS.get(label)
        if method is None or method.scope != "federated":
            known = [name for name, each in METHODS.items() if each.scope == "federated"]
            hint = did_you_mean(label, known) or f"choose from: {', '.join(known)}"
            errors.append(
                NotAChoice(f"{label!r} is no federated method", hint=hint, location=entry.at)
            )
        definition = method.definition if method else {}
        changes = tuple(
            Change(key, Entry(value, entry.at, entry.at, raw=str(value)))
            for key, value in definition.items()
        )
    return _Choice(axis, label, None, changes, entry.at)


def _own_key(key: str, entry: Entry) -> FedmrgError:
    message = f"a point cannot change {key}: every run of a sweep has its own"
    hint = "say how many under seeds" if key == "seed" else ""
    return DoesNotFit(message, hint=hint, location=entry.key_at)


def _configuration(base: Path, overrides: Sequence[str], choices: Sequence[_Choice]) -> RunConfig:
    own = [each for each in choices if each.base is not None]
    if len(own) > 1:
        raise DoesNotFit(
            f"{own[0].axis} {own[0].label} and {own[1].axis} {own[1].label} both bring a base",
            hint="at most one axis may have values with a base",
            location=own[1].at,
        )
    changes = [change for each in choices for change in each.changes]
    start = own[0].base if own else None
    return load_run_config(start or base, overrides, changes)


def _of_point(error: FedmrgError, settings: Mapping[str, str], path: Path) -> list[FedmrgError]:
    """A point's mistakes; those that show in another file say which point they are of."""
    point = ", ".join(f"{axis} {label}" for axis, label in settings.items())
    found = list(error.errors) if isinstance(error, ErrorGroup) else [error]
    for each in found:
        if not each.location.startswith(f"{path}:"):
            each.message = f"at {point}: {each.message}"
    return found


def _once(errors: Sequence[FedmrgError]) -> list[FedmrgError]:
    """One error for each place and cause, by place; points that share a mistake show it once."""
    kept: dict[tuple[str, str, str], FedmrgError] = {}
    for error in errors:
        cause = error.message.partition(": ")[2] if error.message.startswith("at ") else ""
        kept.setdefault((error.location, error.code, cause or error.message), error)
    return sorted(kept.values(), key=place_order)


def _require_ledger(config: RunConfig, settings: Mapping[str, str]) -> None:
    private = config.privacy
    if private is None or private.ledgers is not None or isinstance(config.data, PhantomData):
        return
    point = ", ".join(f"{axis} {label}" for axis, label in settings.items())
    raise PrivateWithoutLedger(
        f"at {point}: every run would charge a new ledger, and none what they cost together",
        hint="name a folder that outlives them in privacy.ledgers",
    )


def _name(choices: Sequence[_Choice]) -> str:
    """``epsilon-8_rank-4``, cut and hashed where it is too long for a run's name."""
    parts = (f"{each.axis.rpartition('.')[2]}-{each.label}" for each in choices)
    name = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in parts)
    if len(name) <= _LONGEST_NAME:
        return name
    whole = "/".join(f"{each.axis}={each.label}" for each in choices)
    return f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
