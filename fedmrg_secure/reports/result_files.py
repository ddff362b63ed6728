"""Results that a command writes as one JSON file, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fedmrg_secure.reports.fields import RunFileInvalid, read_text


class Part(BaseModel):
    """A part of a result file; later versions may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


R = TypeVar("R", bound=Part)


def read_result(path: Path, form: type[R], *, written_by: str) -> R:
    """A result file's content.

    Args:
        path: of the file, which exists.
        form: what it holds.
        written_by: the command that writes it, for the hint.

    Raises:
        RunFileInvalid: it is not of that form, with the place of the first mistake.
    """
    try:
        return form.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunFileInvalid(
            f"{place or 'the content'}: {first['msg'].lower()}",
            hint=f"the same `{written_by}` command writes it anew, without training",
            location=str(path),
        ) from None
