"""The other end of `clinical_models`: CheXbert and RadGraph by radeval, in its own interpreter.

Run as a file by an interpreter that has radeval and need not have this package, so nothing of it
is imported here. One JSON object a line on stdin and stdout, each with ``version``:

1. the worker says ``ready`` with radeval's version and the metrics loaded, or ``error``;
2. for each ``{"references": [...], "hypotheses": [...]}`` it says ``{"scores": {...}}`` or
   ``error``, until stdin ends.

An ``error`` is ``radeval_missing``, ``weights_missing`` or ``failed``; its ``what`` is the kind of
exception and, before any report was read, its first line: later ones could hold a report's words.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any, TextIO

VERSION = 1


def main(metrics: list[str]) -> int:
    """Load `metrics` of radeval and answer until stdin ends; returns the exit status."""
    # Whatever a library prints must not come between our lines.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        from importlib.metadata import version

        from radeval import RadEval

        _work_around(metrics)
        scorer = RadEval(metrics=metrics, detailed=True, show_progress=False)
        ready = {"ready": True, "radeval": version("radeval"), "metrics": metrics}
    except Exception as error:
        _say(answers, {"error": _kind(error), "what": _what(error, with_message=True)})
        return 1
    _say(answers, ready)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            found = scorer(refs=request["references"], hyps=request["hypotheses"])
        except Exception as error:
            _say(answers, {"error": "failed", "what": _what(error, with_message=False)})
            continue
        scores = {
            name: float(value)
            for name, value in found.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        _say(answers, {"scores": scores})
    return 0


def _work_around(metrics: list[str]) -> None:
    """Two faults of radeval 2.2.1, found by running it.

    Its copy of RadGraph imports itself as ``RadEval``, which a case-sensitive file system does not
    have; CheXbert is put on CUDA without asking whether there is any.
    """
    import radeval
    import torch

    sys.modules.setdefault("RadEval", radeval)
    if "f1chexbert" in metrics and not torch.cuda.is_available():
        from radeval.metrics.f1chexbert import F1CheXbert

        F1CheXbert.__init__.__kwdefaults__["device"] = "cpu"


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps({"version": VERSION, **answer}) + "\n")
    answers.flush()


def _kind(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "radeval_missing"
    cause: BaseException | None = error
    while cause is not None:  # radeval wraps what the hub says
        from_hub = type(cause).__module__.startswith(("huggingface_hub", "httpx", "requests"))
        if from_hub or isinstance(cause, OSError):
            return "weights_missing"
        cause = cause.__cause__ or cause.__context__
    return "failed"


def _what(error: Exception, *, with_message: bool) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if with_message and lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
