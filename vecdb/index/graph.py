"""Holds the graph of a segment (HNSW layout over fixed-degree rows) and checks its invariants.

Promises: `validate_graph` never follows a link it has not range-checked and reports every problem it meets.
Invariants: links of a row are packed to the left, padded with -1, without the row itself and without repeats;
upper nodes are numbered flat, level 1 first, and each has a node of the same row one level below.
Concurrency: immutable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecdb.config import PROBLEMS_REPORTED_MAX
from vecdb.types import GraphReport as GraphReport  # noqa: PLC0414 - it is also what this module answers

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Graph:
    """Hierarchical navigable small world (Malkov & Yashunin, 2016): level 0 over all rows, sparse levels above.

    links (n, 2*m): neighbours at level 0, nearest first, padded with -1.
    upper_rows (u,): row of each upper node; level 1 first, then level 2, ... ("upper numbering").
    upper_down (u,): upper number of the same row one level below; -1 for nodes of level 1.
    upper_links (u, m): neighbours in upper numbering, padded with -1.
    level_starts (levels + 1,): level l >= 1 is [level_starts[l-1], level_starts[l]).
    entry: upper number of the entry point; a row number when there is no upper level; -1 when empty.
    """

    links: Int32Array
    upper_rows: Int32Array
    upper_down: Int32Array
    upper_links: Int32Array
    level_starts: Int32Array
    entry: int
    m: int

    @property
    def rows(self) -> int:
        """Number of rows at level 0."""
        return int(self.links.shape[0])


def empty_graph(m: int) -> Graph:
    """The graph of no rows."""
    none = np.empty(0, dtype=np.int32)
    return Graph(
        links=np.empty((0, 2 * m), dtype=np.int32),
        upper_rows=none,
        upper_down=none,
        upper_links=np.empty((0, m), dtype=np.int32),
        level_starts=np.zeros(1, dtype=np.int32),
        entry=-1,
        m=m,
    )


def validate_graph(graph: Graph, live: npt.NDArray[np.bool_] | None = None) -> GraphReport:
    """Check every invariant of `graph`; rows where `live` is False may neither link nor be linked to.

    Pass `live=None` when tombstoned rows still belong to the graph (they are traversed). O(n * m), a few numpy passes.
    """
    problems = _link_problems("level 0", graph.links, live)
    problems += _upper_problems(graph)
    reached = np.zeros(graph.rows, dtype=np.bool_)
    if not problems and graph.rows:
        reached = _reachable(graph)
    alive = np.ones(graph.rows, dtype=np.bool_) if live is None else live
    return GraphReport(
        rows=graph.rows,
        edges=int((graph.links >= 0).sum()),
        levels=len(graph.level_starts) - 1,
        unreachable=int((alive & ~reached).sum()),
        problems=tuple(problems[:PROBLEMS_REPORTED_MAX]),
    )


def _link_problems(name: str, links: Int32Array, live: npt.NDArray[np.bool_] | None) -> list[str]:
    """Range, packing, self links, repeats and dead ends of one adjacency array."""
    rows = len(links)
    if rows == 0:
        return []
    used = links >= 0
    own = np.arange(rows, dtype=np.int32)[:, None]
    in_order = np.sort(links, axis=1)
    checks = [
        ("links below -1", links < -1),
        (f"links to rows beyond {rows}", links >= rows),
        ("links to itself", links == own),
        ("a gap before a link", used[:, 1:] & ~used[:, :-1]),
        ("a neighbour twice", (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)),
    ]
    if live is not None:
        checks.append(("links although it is dead", used & ~live[:, None]))
        checks.append(("a dead neighbour", used & ~live[np.clip(links, 0, rows - 1)]))
    return [f"{name}: row {int(np.argmax(bad.any(axis=1)))} has {what}" for what, bad in checks if bad.any()]


def _upper_problems(graph: Graph) -> list[str]:
    """Numbering, level consistency and links of the upper levels."""
    starts, count = graph.level_starts, len(graph.upper_rows)
    if len(graph.upper_down) != count or len(graph.upper_links) != count:
        return ["upper arrays differ in length"]
    if starts[0] != 0 or starts[-1] != count or (np.diff(starts) <= 0).any():
        return ["level starts are not an ascending partition of the upper nodes"]
    if count == 0:
        return [] if -1 <= graph.entry < max(graph.rows, 1) else [f"entry {graph.entry} is no row"]
    problems = [] if starts[-2] <= graph.entry < count else [f"entry {graph.entry} is not on the top level"]
    if graph.upper_rows.min() < 0 or graph.upper_rows.max() >= graph.rows:
        return [*problems, "an upper node names a row that does not exist"]
    for level in range(1, len(starts)):
        problems += _level_problems(graph, level, int(starts[level - 1]), int(starts[level]))
    return problems


def _level_problems(graph: Graph, level: int, start: int, stop: int) -> list[str]:
    links = graph.upper_links[start:stop]
    problems = _link_problems(f"level {level}", np.where(links >= 0, links - start, links), None)
    if len(np.unique(graph.upper_rows[start:stop])) != stop - start:
        problems.append(f"level {level}: a row occurs twice")
    down = graph.upper_down[start:stop]
    if level == 1:
        return problems if (down == -1).all() else [*problems, "level 1: a node claims a node below it"]
    below = int(graph.level_starts[level - 2])
    if down.min() < below or down.max() >= start:
        return [*problems, f"level {level}: a node descends to another level"]
    if (graph.upper_rows[down] != graph.upper_rows[start:stop]).any():
        problems.append(f"level {level}: a node descends to another row")
    return problems


def _reachable(graph: Graph) -> npt.NDArray[np.bool_]:
    """Rows reached from the entry's row over level-0 links (what a search with unlimited ef would meet)."""
    reached = np.zeros(graph.rows, dtype=np.bool_)
    front = np.array([entry_row(graph)], dtype=np.int32)
    reached[front] = True
    while front.size:
        targets = graph.links[front].ravel()
        targets = np.unique(targets[targets >= 0])
        front = targets[~reached[targets]]
        reached[front] = True
    return reached


def entry_row(graph: Graph) -> int:
    """The row in which a search starts on level 0 at the latest."""
    return int(graph.upper_rows[graph.entry]) if len(graph.upper_rows) else graph.entry
