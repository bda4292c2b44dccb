"""Says who wins: in one sentence for a title, and every place where a peer does.

Promises: a place is listed whenever the peer's figure is better at all; one that noise alone may explain says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from benchmarks.reporting.pareto import TARGETS, Curve
from benchmarks.reporting.style import OURS
from benchmarks.reporting.table import is_number

EVEN: Final = 0.05
"""Two runs on a shared machine differ by this share without a reason."""

RATIO_SHOWN: Final = 1_000
"""Beyond, the better figure is next to nothing, and a ratio to it says nothing."""


def headline(curves: Mapping[str, Curve], targets: Sequence[float] = TARGETS) -> str:
    """Who is fastest at which recall, and by how much vecdb is ahead where it is."""
    winners = [(target, name) for target in targets if (name := _fastest(curves, target))]
    if not winners:
        return f"no engine reaches recall {targets[0]:.2f}"
    parts = []
    for name, group in groupby(winners, key=lambda one: one[1]):
        won = [target for target, _ in group]
        span = f"{won[0]:.2f}" if len(won) == 1 else f"{won[0]:.2f}–{won[-1]:.2f}"
        parts.append(f"{name} is fastest at recall {span}{_lead(curves, name, won)}")
    return "; ".join(parts)


def _fastest(curves: Mapping[str, Curve], target: float) -> str | None:
    speeds = {name: speed for name, curve in curves.items() if (speed := curve.qps_reaching(target)) is not None}
    return max(speeds, key=lambda name: speeds[name]) if speeds else None


def _lead(curves: Mapping[str, Curve], name: str, targets: Iterable[float]) -> str:
    """How many times as fast as the next, where there is one."""
    ratios = []
    for target in targets:
        own = curves[name].qps_reaching(target)
        others = [curve.qps_reaching(target) for other, curve in curves.items() if other != name]
        known = [speed for speed in others if speed is not None]
        if own is not None and known:
            ratios.append(own / max(known))
    if not ratios:
        return ""
    least, most = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
    return f" ({least if least == most else f'{least}–{most}'} × the next)"


def wins_at_recall(curves: Mapping[str, Curve], how: str, targets: Sequence[float] = TARGETS) -> list[str]:
    """Every recall at which a peer is faster, or that only the peer reaches. `how` says in which mode."""
    ours = curves.get(OURS)
    if ours is None:
        return []
    found = []
    for name, curve in curves.items():
        for target in targets:
            speed, own = curve.qps_reaching(target), ours.qps_reaching(target)
            if name == OURS or speed is None:
                continue
            if own is None:
                found.append(f"{name} reaches recall {target:.2f} at {speed:,.0f} queries/s, {OURS} does not ({how})")
            elif speed > own:
                figures = f"{speed:,.0f} against {own:,.0f} queries/s"
                found.append(f"{name} is {_times(speed, own)} as fast at recall {target:.2f}, {how}: {figures}")
    return found


def wins_of(what: str, figures: Mapping[str, float | None], unit: str, *, more: bool = False) -> list[str]:
    """Peers whose figure is better than vecdb's. `more`: more is better."""
    own = figures.get(OURS)
    known = {name: float(value) for name, value in figures.items() if name != OURS and is_number(value)}
    if not is_number(own):
        return []
    ours = float(own)
    wins = []
    for name, value in known.items():
        if value > ours if more else value < ours:
            better, worse = (value, ours) if more else (ours, value)
            times = _times(better, worse) if worse > 0 else "ahead"
            wins.append(f"{what}: {name} with {_figure(value)}, {OURS} {_figure(ours)} {unit} ({times.rstrip(',')})")
    return wins


def _times(better: float, worse: float) -> str:
    ratio = better / worse
    if ratio > RATIO_SHOWN:
        return f"more than {RATIO_SHOWN:,} ×"
    return f"{ratio:.2f} ×" + (", less than the noise," if ratio < 1 + EVEN else "")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def wins_section(wins: Sequence[str]) -> list[str]:
    """The section that names them."""
    return ["### Where a peer wins", "", *([f"- {win}" for win in wins] or ["Nowhere in this run."]), ""]
