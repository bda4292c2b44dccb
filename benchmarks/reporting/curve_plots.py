"""Draws recall over speed: one axis that spreads .9, .99 and .999 evenly, one line for each engine's best points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.reporting.pareto import Curve
from benchmarks.reporting.style import OURS, line_of, log_axis

TICKS: Final = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
LOSS_FLOOR: Final = 5e-4
"""Recall beyond 0.9995 is drawn there: with 1,000 queries it cannot be told from 1."""

LOW: Final = 0.8
"""Recall where the axis begins, unless an engine stays below it."""


def loss_position(recall: float) -> float:
    """Place of a recall on the axis: the logarithm of what is missed."""
    return float(-np.log10(max(1.0 - recall, LOSS_FLOOR)))


def recall_axis(axis: Any, low: float) -> None:
    """Recall from `low` (one of TICKS) to 1."""
    ticks = [tick for tick in TICKS if tick >= low and (tick > 0.5 or low <= 0.5)]
    limits = (loss_position(low) - 0.03, loss_position(1.0) + 0.08)
    places, labels = [loss_position(tick) for tick in ticks], [f"{tick:g}" for tick in ticks]
    axis.axes.set(**{f"{axis.axis_name}lim": limits})
    axis.set_ticks([*places, loss_position(1.0)], labels=[*labels, "1"])


def draw_curves(axes: Any, curves: Mapping[str, Curve]) -> None:
    """One line per engine over recall; axes fit what is seen."""
    low = recall_start([curve.highest for curve in curves.values()])
    seen = []
    for engine, curve in curves.items():
        points = curve.front
        axes.plot([loss_position(one.recall) for one in points], [one.qps for one in points], **line_of(engine))
        spread = [[one.qps - one.low for one in points], [one.high - one.qps for one in points]]
        places = [loss_position(one.recall) for one in points]
        style = {"fmt": "none", "ecolor": line_of(engine)["color"], "elinewidth": 0.8, "alpha": 0.6}
        axes.errorbar(places, [one.qps for one in points], yerr=np.maximum(spread, 0.0), **style)
        seen += [one.qps for one in points if one.recall >= low]
    axes.set_ylim(min(seen) * 0.8, max(seen) * 1.3)
    log_axis(axes.yaxis)
    recall_axis(axes.xaxis, low)
    axes.set_xlabel("recall → better")


def recall_start(highest: Sequence[float]) -> float:
    """Where the axis begins, so that every engine is on it."""
    wanted = min([LOW, *highest])
    return max(tick for tick in TICKS if tick <= wanted)


def legend(figure: Any, axes: Sequence[Any], order: Sequence[str], absent: Sequence[str] = ()) -> None:
    """Beside the plot, each engine once; those that could not be measured below."""
    handles: dict[str, Any] = {}
    for one in axes:
        known = one.get_legend_handles_labels()
        handles |= dict(zip(known[1], known[0], strict=True))
    names = [name for name in order if name in handles]
    box = figure.legend([handles[name] for name in names], names, loc="outside right center", frameon=False)
    for text in box.get_texts():
        text.set_fontweight("bold" if text.get_text() == OURS else "normal")
    if absent:
        note = "\n".join(("not measured:", *absent))
        figure.legend([], [], title=note, loc="outside right lower", frameon=False, title_fontsize=8)


def absent_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Engines without any point, with their status."""
    measured = {run["engine"] for run in runs if run.get("points")}
    return list(dict.fromkeys(f"{run['engine']} ({run['status']})" for run in runs if run["engine"] not in measured))
