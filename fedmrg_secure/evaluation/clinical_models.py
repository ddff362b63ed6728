"""CheXbert F1 and RadGraph F1 by radeval, in a process of its own.

radeval (Delbrouck et al. 2025) reads pickled weights, brings many packages and fetches its models
from a hub. None of that belongs into the process that holds records and keys, so it runs in an
interpreter that the user names, and gets references and generated reports on stdin alone
(`radeval_worker` says in which form). The hub is off for it unless it is allowed.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.evaluation.radeval_worker import VERSION

METRICS: Final = ("f1chexbert", "radgraph")
_WORKER: Final = Path(__file__).with_name("radeval_worker.py")
_OURS: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


class ClinicalModelsMissing(InputError):
    """The interpreter, radeval or the weights that clinical metrics need are not there."""

    code: ClassVar[str] = "FMRG-2903"


class ClinicalModelsFailed(FedmrgError):
    """The process of the clinical metrics broke off, took too long or gave no scores."""

    code: ClassVar[str] = "FMRG-2904"


class ClinicalModels:
    """A scorer of pairs of reports; a context manager that ends its process.

    Keys and scales are radeval's: ``f1chexbert_all_micro_f1`` (14 classes), ``f1chexbert_5_...``
    (the five of CheXpert's competition), ``radgraph_simple``, ``_partial``, ``_complete``, each in
    [0, 1].

    Args:
        python: an interpreter that has radeval.
        allow_hub: whether it may fetch weights.
        timeout_s: for loading, and for each set of reports.

    Raises:
        ClinicalModelsMissing: no such interpreter, no radeval in it, or no weights.
        ClinicalModelsFailed: it broke off or said nothing in time.
    """

    def __init__(self, python: Path, *, allow_hub: bool = False, timeout_s: float = 3600.0) -> None:
        self._python, self._timeout_s = python, timeout_s
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
            environment[name] = "0" if allow_hub else "1"
        try:
            # -P: the worker's folder, with modules named as those of other packages, stays unseen.
            self._process = subprocess.Popen(
                [str(python), "-P", str(_WORKER), *METRICS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env=environment,
            )
        except OSError as error:
            raise ClinicalModelsMissing(
                f"cannot start {python}: {error.strerror}",
                hint="give the Python interpreter of an environment with radeval, 3.11 or later",
            ) from error
        try:
            self.version = str(self._answer()["radeval"])
        except BaseException:
            self.close()
            raise

    def __call__(self, references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
        """radeval's scores of the pairs as one set.

        Raises:
            ClinicalModelsFailed: as above.
        """
        assert self._process.stdin is not None
        request = {
            "version": VERSION,
            "references": list(references),
            "hypotheses": list(hypotheses),
        }
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._broke_off() from error
        scores = self._answer()["scores"]
        return {str(name): float(value) for name, value in scores.items()}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        """The worker's next line."""
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._timeout_s, end)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise self._broke_off(after_s=self._timeout_s if late.is_set() else None)
        try:
            answer = json.loads(line)
            known = answer["version"] == VERSION
        except (ValueError, TypeError, KeyError):
            known = False
        if not known:
            raise ClinicalModelsFailed("radeval's process gave an answer of another form")
        if "error" in answer:
            raise self._told(str(answer["error"]), str(answer.get("what", "")))
        return dict(answer)

    def _broke_off(self, after_s: float | None = None) -> ClinicalModelsFailed:
        if after_s is not None:
            return ClinicalModelsFailed(f"radeval gave no answer within {after_s:g} s")
        return ClinicalModelsFailed(
            f"radeval's process ended with status {self._process.wait()} and no answer",
            hint=f"see why: {self._by_hand()}",
        )

    def _told(self, kind: str, what: str) -> FedmrgError:
        if kind == "radeval_missing":
            return ClinicalModelsMissing(
                f"{self._python} cannot import radeval ({what})",
                hint=f"{self._python} -m pip install 'radeval==2.2.1' 'scikit-learn<1.9'",
            )
        if kind == "weights_missing":
            return ClinicalModelsMissing(
                f"radeval's weights are not on this machine ({what})",
                hint=f"set model.allow_hub: true, or fetch them once: {self._by_hand()}",
            )
        return ClinicalModelsFailed(
            f"radeval failed with {what}", hint=f"see why: {self._by_hand()}"
        )

    def _by_hand(self) -> str:
        return f"echo | {self._python} -P {_WORKER} {' '.join(METRICS)}"
