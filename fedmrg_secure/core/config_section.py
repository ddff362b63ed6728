"""What every section of a configuration is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the file: no unknown keys, no changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
