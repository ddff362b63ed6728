"""Paths that a manifest names: they stay inside the data folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from fedmrg_secure.data.errors import ImageMissing, OutsideRoot


def inside_root(root: Path, relative: str, *, location: str) -> Path:
    """The existing regular file at `relative` below `root`, with all symbolic links followed.

    Raises:
        OutsideRoot: an absolute path, one with ``..``, or one whose links lead out of `root`.
        ImageMissing: there is no such regular file.
    """
    parts = PurePosixPath(relative.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in relative or ":" in parts.parts[0]:
        raise OutsideRoot(
            f"the path {relative!r} is not a plain path below the data folder", location=location
        )
    try:
        path = (root / relative).resolve()
    except (OSError, RuntimeError) as error:
        raise ImageMissing(f"{relative!r} cannot be followed", location=location) from error
    if not path.is_relative_to(root):
        raise OutsideRoot(
            f"the path {relative!r} leads out of the data folder",
            hint="a symbolic link may not leave data.root",
            location=location,
        )
    if not path.is_file():
        raise ImageMissing(
            f"there is no file {relative!r} in the data folder",
            hint=f"the data folder is {root}",
            location=location,
        )
    return path
