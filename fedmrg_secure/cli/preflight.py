"""What `fedmrg doctor` does: each check gives a verdict, what was found and how to mend it.

A check never raises: whatever goes wrong inside it is its finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedmrg_secure.cli import preflight_machine as machine
from fedmrg_secure.cli import preflight_software as software
from fedmrg_secure.cli.check import Check, NamedCheck, guarded


def run_checks(
    folder: Path, host: str, port: int, more: Sequence[NamedCheck] = ()
) -> Iterator[Check]:
    """All checks, cheap ones first.

    Args:
        folder: where runs will be written.
        host: the address to listen on.
        port: the port to try; 0 for any.
        more: further checks, after the others.
    """
    checks: list[NamedCheck] = [
        ("python", software.check_python),
        ("packages", software.check_packages),
        *(
            (f"extra {extra}", lambda extra=extra: software.check_extra(extra))
            for extra in software.EXTRAS
        ),
        ("processor", machine.check_processor),
        ("memory", machine.check_memory),
        ("disk", lambda: machine.check_disk(folder)),
        ("private files", lambda: machine.check_private_files(folder)),
        ("clock", machine.check_clock),
        ("port", lambda: machine.check_port(host, port)),
        ("database", lambda: machine.check_database(folder)),
        ("signatures and sealing", software.check_signatures),
        ("encryption", software.check_encryption),
        ("multiparty encryption", software.check_multiparty),
        ("base model", software.check_base_model),
        *more,
    ]
    for name, check in checks:
        yield guarded(name, check)
