"""A finding of `fedmrg doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from fedmrg_secure.core.errors import FedmrgError

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        verdict: ``warn`` may go wrong later; ``fail`` will.
        detail: what was found.
        mend: what to do; empty where all is well.
    """

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


NamedCheck = tuple[str, Callable[[], Check]]


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """The check's finding; an exception inside it is a failure with its reason."""
    try:
        return check()
    except FedmrgError as error:
        return Check(name, "fail", f"{error.code} {error.message}", error.hint)
    except ImportError as error:
        return Check(name, "fail", f"cannot be imported: {error}", "install the package again")
    except Exception as error:
        return Check(name, "fail", f"{type(error).__name__}: {error}")
