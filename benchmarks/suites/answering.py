"""Lets a process answer JSON lines, as `benchmarks.method.process.WorkerProcess` asks them, using little memory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Action = Callable[[Mapping[str, Any]], dict[str, Any]]


def answer_requests(actions: Mapping[str, Action]) -> None:
    """Answer until the input ends. stdout is kept for answers: what else is printed goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as sink:
        os.dup2(2, 1)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(actions[request["do"]](request)), file=sink, flush=True)
