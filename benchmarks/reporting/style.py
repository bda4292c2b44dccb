"""Gives every engine one colour and marker in every plot, and plots one look.

Colours are those of Okabe and Ito's palette, made for colour-blind readers, and darker companions of it.
"""

from __future__ import annotations

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
}
SPARE: Final = (("#666666", "1"), ("#1B9E77", "2"), ("#E7298A", "3"), ("#66A61E", "4"), ("#3B528B", "+"))


class PlotError(Exception):
    """Plots cannot be drawn here."""


def look_of(engine: str) -> tuple[str, str]:
    """Colour and marker of an engine; one without a place of its own gets a spare one by its name."""
    return LOOKS.get(engine) or SPARE[sum(engine.encode()) % len(SPARE)]


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
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
        }
    )
    return import_module("matplotlib.pyplot")


def save(figure: Any, out: Path, name: str) -> str:
    """Write a figure as PNG and SVG; returns the PNG's name."""
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=130)
    figure.savefig(out / f"{name}.svg", metadata={"Date": None})
    pyplot().close(figure)
    return f"{name}.png"
