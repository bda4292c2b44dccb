"""The `ann` suite: libraries against each other, recall over queries per second, one thread searching.

Every engine and setting lives in a process of its own. All are built first, one after another; then they take turns,
effort by effort and repetition by repetition, so that the noise of the machine hits them alike. Recall is computed
here, by one function for all. Promises: an engine that is missing, fails or takes too long is in the result with the
reason; the result is written after every step, so that an interrupted run keeps what it has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.datasets import Dataset, recall
from benchmarks.engines import ENGINES
from benchmarks.engines.protocol import EngineSpec, Matrix
from benchmarks.method.environments import missing, python_of
from benchmarks.method.machine import available_cpus
from benchmarks.method.process import WorkerError, WorkerProcess

MODES: Final = ("batch", "single")
RECALL_ENOUGH: Final = 0.999
"""The first effort that reaches it is the last of a sweep."""

SEARCH_SHARE_S: Final = 120.0
"""A pass over all queries at one effort that takes longer is the last of a sweep: the curve goes no further."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AnnOptions:
    """What a run measures."""

    engines: tuple[str, ...]
    settings_per_engine: int = 2
    k: int = 10
    repeats: int = 3
    build_threads: int = 1
    cap_s: float = 1_800.0
    modes: tuple[str, ...] = MODES
    cache: Path | None = None


@dataclass(slots=True)
class Contender:
    """One engine with one setting: its worker while it lives, and what was measured."""

    spec: EngineSpec
    setting: str
    worker: WorkerProcess | None = None
    left_s: float = 0.0
    status: str = "ok"
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    recalls: dict[tuple[str, int], float] = field(default_factory=dict)
    seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def end(self, status: str, reason: str) -> None:
        """Note why this contender goes no further; what it measured stays."""
        self.status, self.reason = status, reason
        self.close()

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()
        self.worker = None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the worker within the time it has left."""
        assert self.worker is not None
        begin = time.monotonic()
        try:
            return self.worker.ask(request, self.left_s)
        finally:
            self.left_s -= time.monotonic() - begin

    def to_dict(self, queries: int) -> dict[str, Any]:
        """The run as it is stored."""
        return {
            "engine": self.spec.name,
            "setting": self.setting,
            "values": dict(self.spec.settings[self.setting]),
            "tuning": self.spec.tuning,
            "status": self.status,
            "reason": self.reason,
            **({"versions": {}, "build": None, "memory": None} | self.facts),
            "points": [
                {"mode": mode, "effort": effort, "recall": self.recalls[mode, effort], **_speeds(seconds, queries)}
                for (mode, effort), seconds in self.seconds.items()
            ],
        }


def _speeds(seconds: list[float], queries: int) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "qps": queries / median(seconds),
        "qps_low": queries / max(seconds),
        "qps_high": queries / min(seconds),
    }


def run_ann(
    dataset: Dataset, bounds: Matrix, options: AnnOptions, head: Mapping[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    """Measure all engines; returns the report that is also at `out`. `bounds` (q, k) are the true distances."""
    contenders = list(_contenders(options))

    def save() -> dict[str, Any]:
        report = {**head, "suite": "ann", "runs": [one.to_dict(len(dataset.queries)) for one in contenders]}
        partial = out.with_suffix(".partial")
        partial.write_text(json.dumps(report, indent=1))
        partial.replace(out)
        return report

    try:
        for number, contender in enumerate(contenders, 1):
            progress(f"[{number}/{len(contenders)}] building {contender.spec.name} {contender.setting}")
            _build(contender, dataset, options)
            progress(_built_line(contender))
            save()
        for turn in range(options.repeats):
            progress(f"searching, repetition {turn + 1} of {options.repeats}")
            for position, mode in _steps(contenders, options.modes):
                _search_all(contenders, position, mode, dataset, bounds, out.parent)
            save()
    finally:
        for contender in contenders:
            contender.close()
    return save()


def _contenders(options: AnnOptions) -> Iterator[Contender]:
    for name in options.engines:
        spec = ENGINES[name]
        for setting in list(spec.settings)[: options.settings_per_engine]:
            yield Contender(spec, setting, left_s=options.cap_s)


def _build(contender: Contender, dataset: Dataset, options: AnnOptions) -> None:
    spec = contender.spec
    if dataset.metric not in spec.metrics:
        contender.end("unsupported", f"{spec.name} has no {dataset.metric}")
        return
    why = missing(spec, options.cache)
    if why is not None:
        contender.end("missing", why)
        return
    cpus = sorted(available_cpus())[-options.build_threads :]
    contender.worker = WorkerProcess(
        [python_of(spec.environment, options.cache), "-m", "benchmarks.method.worker"], len(cpus)
    )
    request = {
        "do": "build",
        "engine": spec.name,
        "setting": contender.setting,
        "base": str(dataset.directory / "base.npy"),
        "queries": str(dataset.directory / "queries.npy"),
        "metric": dataset.metric,
        "cpus": cpus,
    }
    try:
        contender.facts = contender.ask(request)
    except WorkerError as error:
        contender.end(error.status, f"while building: {error.reason}")


def _built_line(contender: Contender) -> str:
    if contender.status != "ok":
        return f"    {contender.status}: {contender.reason}"
    return f"    {contender.facts['build']['seconds']:.1f} s, {contender.facts['memory']['built_mb']:.0f} MB"


def _steps(contenders: Sequence[Contender], modes: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Every place of the sweeps, cheap efforts first, in both modes before the next."""
    for position in range(max((len(one.spec.efforts) for one in contenders), default=0)):
        for mode in modes:
            yield position, mode


def _search_all(
    contenders: Sequence[Contender], position: int, mode: str, dataset: Dataset, bounds: Matrix, scratch: Path
) -> None:
    """Let each contender that has not finished its sweep answer all queries once."""
    for contender in contenders:
        if contender.worker is None or position >= len(contender.spec.efforts):
            continue
        effort = contender.spec.efforts[position]
        if _is_beyond(contender, mode, position):
            continue
        try:
            _search(contender, mode, effort, dataset, bounds, scratch / f".labels-{contender.spec.name}.npy")
        except WorkerError as error:
            contender.end(error.status, f"while searching at effort {effort}: {error.reason}")


def _is_beyond(contender: Contender, mode: str, position: int) -> bool:
    """True when an earlier effort of the sweep was recall enough, or too slow."""
    for effort in contender.spec.efforts[:position]:
        place = (mode, effort)
        if contender.recalls.get(place, 1.0) >= RECALL_ENOUGH or contender.seconds[place][0] > SEARCH_SHARE_S:
            return True
    return False


def _search(contender: Contender, mode: str, effort: int, dataset: Dataset, bounds: Matrix, labels_file: Path) -> None:
    place = (mode, effort)
    first = place not in contender.recalls
    request: dict[str, Any] = {"do": "search", "mode": mode, "effort": effort, "k": bounds.shape[1]}
    if first:
        request["labels"] = str(labels_file.resolve())
    seconds = contender.ask(request)["seconds"]
    if first:
        contender.recalls[place] = recall(dataset, bounds, np.load(labels_file, allow_pickle=False))
        labels_file.unlink()
    contender.seconds.setdefault(place, []).append(seconds)


def print_progress(line: str) -> None:
    """Progress on stderr, with the time."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
