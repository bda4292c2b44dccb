"""Gives every engine one colour and marker in every plot, and plots one look.

Colours are those of Okabe and Ito's palette, made for colour-blind readers, and darker or lighter companions of it;
markers tell apart what colours alone would not.
"""

from __future__ import annotations

import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any, Final

OURS: Final = "vecdb"
LOOKS: Final[dict[str, tuple[str, str]]] = {
    OURS: ("#D55E00", "o"),
    "hnswlib": ("#000000", "s"),
    "faiss-hnsw": ("#0072B2", "^"),
    "faiss-hnsw-sq8": ("#56B4E9", "v"),
    "faiss-ivf-pq": ("#004266", "<"),
    "usearch-f32": ("#009E73", "D"),
    "usearch-i8": ("#5DC9A5", "d"),
    "pynndescent": ("#CC79A7", "P"),
    "voyager": ("#8C564B", "X"),
    "scann": ("#E69F00", "*"),
    "ngt": ("#7F7F7F", ">"),
    "symphonyqg": ("#6A3D9A", "h"),
    "rabitq-hnsw": ("#B294C7", "H"),
    "vsag-sq8": ("#A6761D", "p"),
    # databases, never in one plot with the libraries above
    "qdrant-edge": ("#0072B2", "s"),
    "qdrant-edge-int8": ("#56B4E9", "P"),
    "zvec": ("#009E73", "^"),
    "zvec-int8": ("#5DC9A5", "v"),
    "lancedb": ("#E69F00", "X"),
    "chromadb": ("#CC79A7", "D"),
    "milvus-lite": ("#6A3D9A", "p"),
    "sqlite-vec": ("#000000", "*"),
    "vecdb-target": ("#F5A574", "h"),
    "vecdb-exact": ("#8C3D00", "<"),
}
SPARE: Final = (("#666666", "1"), ("#1B9E77", "2"), ("#E7298A", "3"), ("#66A61E", "4"), ("#3B528B", "+"))
TITLE_CHARS_PER_INCH: Final = 11


class PlotError(Exception):
    """Plots cannot be drawn here."""


def look_of(engine: str) -> tuple[str, str]:
    """Colour and marker of an engine; one without a place of its own gets a spare one by its name."""
    return LOOKS.get(engine) or SPARE[sum(engine.encode()) % len(SPARE)]


def line_of(engine: str) -> dict[str, Any]:
    """How an engine's line is drawn: vecdb's above the others, and heavier."""
    colour, marker = look_of(engine)
    ours = engine == OURS
    return {
        "color": colour,
        "marker": marker,
        "markersize": 7 if ours else 5.5,
        "linewidth": 3.0 if ours else 1.3,
        "zorder": 4 if ours else 3,
        "label": engine,
    }


def pyplot() -> Any:
    """matplotlib, drawing into files only, deterministic."""
    try:
        matplotlib: Any = import_module("matplotlib")
    except ImportError as error:
        raise PlotError("plots need matplotlib: pip install 'vecdb[bench]'") from error
    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "vecdb",
            "svg.fonttype": "none",
            "font.size": 10,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
        }
    )
    return import_module("matplotlib.pyplot")


def log_axis(axis: Any) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 of every decade (1 alone when there are many), as plain numbers.

    Without data there is nothing to scale.
    """
    if not axis.axes.has_data():
        return
    ticker: Any = import_module("matplotlib.ticker")
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = sorted(axis.get_view_interval())
    steps = (1.0,) if high / low > 1e4 else (1.0, 2.0, 5.0) if high / low > 8 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(ticker.LogLocator(subs=steps, numticks=20))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(ticker.NullFormatter())


def plain(value: float) -> str:
    """12000 -> "12k", 0.05 -> "0.05"."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def title(figure: Any, finding: str, data: str) -> None:
    """What the plot shows, in a sentence, above what it was measured on."""
    width = int(figure.get_figwidth() * TITLE_CHARS_PER_INCH)
    lines = [*textwrap.wrap(finding, width), *textwrap.wrap(data, width)]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11)


def save(figure: Any, out: Path, name: str) -> str:
    """Write a figure as PNG and SVG; returns the PNG's name."""
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=130, metadata={"Software": None})
    figure.savefig(out / f"{name}.svg", metadata={"Date": None, "Creator": None})
    pyplot().close(figure)
    return f"{name}.png"
