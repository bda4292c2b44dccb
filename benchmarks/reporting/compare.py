"""Compares two raw reports of one suite: what became slower, larger or less exact, beyond the noise.

The noise of a speed is the spread of its repetitions in both runs, and never taken as less than NOISE_FLOOR: two runs
on a shared machine differ by that without a reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.reporting.pareto import TARGETS, engines_of, front, noise_of, points_of, qps_at
from benchmarks.reporting.plots import MODES

NOISE_FLOOR: Final = 0.05
NOISE_WIDTHS: Final = 2.0
"""Spreads that a difference must exceed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure before and after. `change` is a share of `before`; `worse` only beyond the noise."""

    what: str
    before: float
    after: float
    change: float
    noise: float
    worse: bool
    better: bool


def compare(before: Path, after: Path) -> list[Finding]:
    """Figures that both reports have; ValueError when they are of different suites or data."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    if old["suite"] != new["suite"]:
        raise ValueError(f"{before.name} is of suite {old['suite']!r}, {after.name} of {new['suite']!r}")
    digests = [report.get("dataset", {}).get("digest") for report in (old, new)]
    if digests[0] != digests[1]:
        raise ValueError(f"{before.name} and {after.name} were measured on different data")
    return [*_speeds(old, new), *_builds(old, new)]


def _speeds(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
    for engine in engines_of(old["runs"]):
        for mode in MODES:
            points = [points_of(report["runs"], engine, mode) for report in (old, new)]
            noise = max(NOISE_FLOOR, NOISE_WIDTHS * max(noise_of(one) for one in points))
            fronts = [front(one) for one in points]
            for target in TARGETS:
                first, second = (qps_at(one, target) for one in fronts)
                if first is not None and second is not None:
                    yield _finding(f"{engine}: queries/s at recall {target:g}, {mode}", first, second, noise, more=True)


def _builds(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
    after = {(run["engine"], run.get("setting")): run for run in new["runs"]}
    for run in old["runs"]:
        other = after.get((run["engine"], run.get("setting")))
        if other is None or not run.get("build") or not other.get("build"):
            continue
        name = f"{run['engine']} {run['setting']}"
        seconds = (run["build"]["seconds"], other["build"]["seconds"])
        yield _finding(f"{name}: seconds to build", *seconds, 2 * NOISE_FLOOR, more=False)
        added = [one["memory"]["built_mb"] - one["memory"]["before_mb"] for one in (run, other)]
        yield _finding(f"{name}: MB added", added[0], added[1], NOISE_FLOOR, more=False)


def _finding(what: str, before: float, after: float, noise: float, *, more: bool) -> Finding:
    """`more`: more is better."""
    change = (after - before) / before if before else 0.0
    gain = change if more else -change
    return Finding(what, before, after, change, noise, worse=gain < -noise, better=gain > noise)


def findings_table(findings: Sequence[Finding]) -> str:
    """The findings as text, the worse ones first."""
    lines = []
    for finding in sorted(findings, key=lambda one: (not one.worse, not one.better, one.what)):
        mark = "WORSE " if finding.worse else "better" if finding.better else "      "
        lines.append(
            f"{mark} {finding.change:+7.1%} (noise {finding.noise:4.0%}) {finding.before:>12,.1f} -> "
            f"{finding.after:>12,.1f}  {finding.what}"
        )
    worse = sum(finding.worse for finding in findings)
    return "\n".join([*lines, f"{worse} of {len(findings)} figures became worse beyond the noise"])
