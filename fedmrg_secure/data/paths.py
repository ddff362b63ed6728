"""Paths that a configuration or a listing names: they stay inside the data folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from fedmrg_secure.data.errors import DataError, ImageMissing, ManifestUnreadable, OutsideRoot


def data_root(root: Path) -> Path:
    """The data folder, with all symbolic links followed.

    Raises:
        ManifestUnreadable: there is no such folder.
    """
    resolved = root.resolve()
    if not resolved.is_dir():
        raise ManifestUnreadable(
            f"there is no data folder {root}",
            hint="say where the data lies: --set data.root=FOLDER",
            location="data.root",
        )
    return resolved


def check_plain(relative: str, *, location: str) -> None:
    """Raise `OutsideRoot` for a path that is absolute, has ``..`` or a drive, or names nothing."""
    parts = PurePosixPath(relative.replace("\\", "/"))
    if (
        not parts.parts
        or parts.is_absolute()
        or ".." in parts.parts
        or "\0" in relative
        or ":" in parts.parts[0]
    ):
        raise OutsideRoot(
            f"the path {relative!r} is not a plain path below the data folder", location=location
        )


def inside_root(
    root: Path,
    relative: str,
    *,
    location: str,
    missing: type[DataError] = ImageMissing,
    shown: str = "",
) -> Path:
    """The existing regular file at `relative` below `root`, with all symbolic links followed.

    Args:
        root: resolved, see `data_root`.
        relative: as the listing has it.
        location: where the listing has it.
        missing: what to raise where there is no such file.
        shown: what messages call the file, where its path names a patient.

    Raises:
        OutsideRoot: not a plain path (`check_plain`), or one whose links lead out of `root`.
        ImageMissing: or what `missing` says: there is no such regular file.
    """
    check_plain(relative, location=location)
    shown = shown or relative
    try:
        path = (root / relative).resolve()
    except (OSError, RuntimeError) as error:
        raise missing(f"{shown!r} cannot be followed", location=location) from error
    if not path.is_relative_to(root):
        raise OutsideRoot(
            f"the path {shown!r} leads out of the data folder",
            hint="a symbolic link may not leave data.root",
            location=location,
        )
    if not path.is_file():
        keys = f"; check data.root and {location}" if location.startswith("data.") else ""
        raise missing(
            f"there is no file {shown!r} in the data folder",
            hint=f"the data folder is {root}{keys}",
            location=location,
        )
    return path
