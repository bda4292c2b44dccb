"""Compares two raw reports of one suite: what became slower, larger or less exact, beyond the noise.

Noise is what both runs' repetitions show (see `figures`), added up, and never taken as less than NOISE_FLOOR: two runs
on a shared machine differ by that without a reason. A figure that only the first report has, of an engine that both
tried, is a loss.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.reporting.figures import Figure, attempted, figures_of

NOISE_FLOOR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure before and after. `change` is a share of `before`; `worse` and `better` only beyond the noise.

    `after` and `change` are NaN when the figure was not reached any more.
    """

    what: str
    before: float
    after: float
    change: float
    noise: float
    worse: bool
    better: bool


def compare(before: Path, after: Path) -> list[Finding]:
    """Figures of both reports; ValueError when they are of different suites or data."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    if old["suite"] != new["suite"]:
        raise ValueError(f"{before} is of suite {old['suite']!r}, {after} of {new['suite']!r}")
    if any(_data(old)[name] != _data(new)[name] for name in ("digest", "k", "metric")):
        raise ValueError(f"{before} and {after} were measured on different data")
    first, second = figures_of(old), figures_of(new)
    tried = attempted(new)
    both = [_finding(name, figure, second[name]) for name, figure in first.items() if name in second]
    lost = [_loss(name, one) for name, one in first.items() if name not in second and one.owner in tried]
    return [*both, *lost]


def _data(report: dict[str, dict[str, object]]) -> dict[str, object]:
    data = report.get("dataset") or {}
    return {name: data.get(name) for name in ("digest", "k", "metric")}


def _finding(what: str, before: Figure, after: Figure) -> Finding:
    noise = max(NOISE_FLOOR, before.noise + after.noise)
    change = (after.value - before.value) / abs(before.value) if before.value else 0.0
    gain = change if before.more else -change
    large = abs(after.value - before.value) > before.step
    return Finding(what, before.value, after.value, change, noise, large and gain < -noise, large and gain > noise)


def _loss(what: str, before: Figure) -> Finding:
    return Finding(what, before.value, math.nan, math.nan, NOISE_FLOOR, worse=True, better=False)


def findings_table(findings: Sequence[Finding]) -> str:
    """The findings as text, the worse ones first."""
    lines = []
    for finding in sorted(findings, key=lambda one: (not one.worse, not one.better, one.what)):
        mark = "WORSE " if finding.worse else "better" if finding.better else "      "
        change = "    lost" if math.isnan(finding.change) else f"{finding.change:+8.1%}"
        figures = f"{_figure(finding.before):>10} -> {_figure(finding.after):>10}"
        lines.append(f"{mark} {change} (noise {finding.noise:4.0%}) {figures}  {finding.what}")
    worse = sum(finding.worse for finding in findings)
    return "\n".join([*lines, f"{worse} of {len(findings)} figures became worse beyond the noise"])


def _figure(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
