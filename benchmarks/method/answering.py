"""Lets a process answer JSON lines, as `benchmarks.method.process.WorkerProcess` asks them.

Promises: an exception of an action becomes an answer, `{"failed": ...}`, and the end. Imports little, so that what a
worker measures of its own memory is its own. Concurrency: one request at a time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

Action = Callable[[Mapping[str, Any]], dict[str, Any]]


def answer_requests(actions: Mapping[str, Action], source: TextIO, sink: TextIO) -> None:
    """Do what each line of `source` asks and write a line to `sink`, until the input ends."""
    for line in source:
        request = json.loads(line)
        try:
            answer = actions[request["do"]](request)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its result
            print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), file=sink, flush=True)
            return
        print(json.dumps(answer), file=sink, flush=True)


def serve(actions: Mapping[str, Action]) -> None:
    """Answer on what was stdout; whatever a library prints goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as sink:
        os.dup2(2, 1)
        answer_requests(actions, sys.stdin, sink)
