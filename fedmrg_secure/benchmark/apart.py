"""A measuring process: one case, JSON lines on its standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from fedmrg_secure.core.errors import FedmrgError


class BenchmarkFailed(FedmrgError):
    """A measuring process ended without a row."""

    code: ClassVar[str] = "FMRG-8201"


def messages_of(
    module: str,
    arguments: Sequence[str],
    *,
    name: str,
    standard_input: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """What ``python -m module`` says, line by line; the process ends when the caller leaves.

    Args:
        module: prints JSON objects.
        arguments: of its command line.
        name: of what is measured, for people.
        standard_input: what it reads; less than a pipe holds, 64 KiB.
        environment: changes of this process's own.

    Raises:
        BenchmarkFailed: its exit code is not 0; carries the last line of its standard error.
    """
    errors: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        # Ctrl-C reaches this process alone, which then ends its child.
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            process.stdin.write(standard_input)
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
        reader.join()
    if process.returncode != 0:
        reason = errors[-1].strip() if errors else "no message"
        raise BenchmarkFailed(
            f"measuring {name} ended with exit code {process.returncode}: {reason}",
            hint="`fedmrg doctor` checks this machine's libraries",
        )
