"""A run's model, built and loaded from its folder: what generating and adapting begin with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fedmrg_secure.core.config import RunConfig
from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.yaml_source import load_run_config
from fedmrg_secure.federation.states import NoTrainedState, State, newest_state, require_same_base
from fedmrg_secure.model.report_generator import ReportGenerator, build_report_generator
from fedmrg_secure.update.factorization import CARRY
from fedmrg_secure.update.power_sgd import PowerSgd


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model in the state that a run has reached.

    Attributes:
        config: of the run.
        generator: holds the shared state; its specialized part is as at the start.
        training_round: the last complete one.
    """

    config: RunConfig
    generator: ReportGenerator
    training_round: int


class NoModelFolder(InputError):
    """A folder is neither a run's nor a site's."""

    code: ClassVar[str] = "FMRG-6405"


def load_trained_model(root: Path) -> TrainedModel:
    """Build a run's model and load its newest shared state.

    Args:
        root: a run's folder, or that of one site of a federation of machines.

    Raises:
        NoModelFolder: it is neither.
        NoTrainedState: the run has not ended a round.
        StateUnreadable, StateMismatch, AnotherBase: what lies there does not fit.
        FedmrgError: configuration or decoder do not load.
    """
    config = load_config(root)
    generator = build_report_generator(
        config.model, config.update, image_size=config.data.image_size, seed=config.seed
    )
    require_same_base(root, generator.base_hash)
    number, state = newest_model_state(config, root)
    generator.load_shared_state(state)
    return TrainedModel(config, generator, number)


def load_config(root: Path) -> RunConfig:
    """The configuration that lies with a run's or a site's states.

    Raises:
        NoModelFolder: the folder is neither.
    """
    if not (root / "config.yaml").is_file() or not _has_run_or_state(root):
        raise NoModelFolder(
            f"{root} holds no run: no config.yaml with run.json or state/ beside it",
            hint="name the folder that `fedmrg run` made, e.g. runs/quickstart, or a site's own",
        )
    return load_run_config(root / "config.yaml")


def _has_run_or_state(root: Path) -> bool:
    return (root / "run.json").is_file() or (root / "state").is_dir()


def newest_model_state(config: RunConfig, root: Path) -> tuple[int, State]:
    """The last complete training round, and the state after it as the generator takes it.

    Raises:
        NoTrainedState, StateUnreadable: see `federation.states`.
    """
    number, state = newest_state(root, passes=passes_of(config))
    if number == 0:
        raise NoTrainedState(
            f"{root} has not ended a round", hint="go on with it: fedmrg run CONFIG --resume"
        )
    return number, model_state(state)


def passes_of(config: RunConfig) -> int:
    """Rounds of the protocol that one training round of a run takes."""
    return PowerSgd.passes if config.update.factorization == "powersgd" else 1


def model_state(state: State) -> State:
    """A public state without the tensors that belong to the factorisation."""
    return {name: value for name, value in state.items() if not name.startswith(CARRY)}
