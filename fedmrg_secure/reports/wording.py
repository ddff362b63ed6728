"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def bytes_text(count: float) -> str:
    """Bytes in decimal units, three significant digits: ``1_234_567`` gives ``1.23 MB``."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{significant(size)} {unit}"
        size /= 1000
    return f"{significant(size)} TB"


def decade_text(count: int) -> str:
    """A power of ten bytes: ``1_000_000`` gives ``1 MB``."""
    return bytes_text(count).replace(".00 ", " ").replace(".0 ", " ")


def count_text(count: int) -> str:
    """A whole number with thin groups: ``1234567`` gives ``1 234 567``."""
    return f"{count:,}".replace(",", "\u202f")


def significant(value: float) -> str:
    """Three significant digits without an exponent, for values from 0.001 to 9999."""
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}"


def seconds_text(seconds: float) -> str:
    """A duration: ``0.42 s``, ``12.3 s``, ``3 min 5 s``, ``1 h 2 min``."""
    if seconds < 59.95:
        return f"{significant(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def ratio_text(ratio: float) -> str:
    """``12.3 times less``, or ``1.3 times more`` where the ratio is below one."""
    if ratio >= 1:
        return f"{significant(ratio)} times less"
    return f"{significant(1 / ratio)} times more"


def listing(names: Sequence[str], limit: int = 6) -> str:
    """``A``, ``A and B``, ``A, B and C``; beyond `limit` names ``A, B and 7 others``."""
    if len(names) > limit:
        shown = list(names[: limit - 1])
        return f"{', '.join(shown)} and {len(names) - len(shown)} others"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def plural(count: int, noun: str) -> str:
    """``1 centre``, ``2 centres``."""
    return f"{count} {noun}" if count == 1 else f"{count_text(count)} {noun}s"
