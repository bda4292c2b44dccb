"""Decides, for one segment, whether a filtered search walks the graph or compares the matching rows one by one.

Both cost time that can be told beforehand: a scan a fixed time for each matching row, a walk a fixed time for each
candidate of its pool. Both times are measured when a segment is built, on the machine that builds it, and stored with
its recall curve. How large the pool must be follows from that curve: to find the best k of a share p of all rows is to
find the best k / p of all.
Promises: deterministic for a segment, a filter's matches and an effort. Concurrency: pure functions.
"""

from __future__ import annotations

from math import ceil, log, log2, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from vecdb.config import EF_MAX, TARGET_RECALL_DEFAULT
from vecdb.index.filtered import POOL_MAX, Reach

if TYPE_CHECKING:
    from vecdb.engine.effort import SearchEffort
    from vecdb.index.recall_curve import RecallCurve

KEY_NS: Final = 1_000.0
"""Time for each candidate of the pool where it was not measured: 36 to 48 µs at ef 36 to 48 (Zen 4)."""

ROW_NS: Final = 40.0
"""Time for each row compared by its codes where it was not measured (384 dimensions)."""

FAR_KEYS: Final = 2.7
FAR_KEYS_PACKED: Final = 8.0
"""Times the cost of a candidate of an unfiltered search that one of a walk among kept rows has (kernels.kept), where
searches go by codes and over packed rows: 193 us for 56 candidates, where a packed search takes 17.5 us for 40."""

GROWTH_UNIT: Final = 64
CHANCE: Final = 2.0
"""Standard deviations of the count of matches in a pool that a plan allows for."""

SCAN_MISSES: Final = 1 / 3
"""A scan by sketches may miss this share of what the same effort misses without a filter: depth is cheap, and matches
that lie close together are harder to tell apart than the rows it was measured on (sentence embeddings at ef 36, .957
without a filter: .905 among a hundredth on one side, .917 among a tenth of all at a depth measured for .957)."""

SPARE: Final = 1.5
"""A walk may use this many times the pool it is expected to need before the plan turns to a scan."""


class Choice(NamedTuple):
    """What to do in a segment: walk the graph as far as `reach` says (None: do not), else scan the matching rows.

    A scan goes by sketches to `depth`, or, where that is 0, by codes.
    """

    reach: Reach | None
    graph_ns: float
    scan_ns: float
    depth: int = 0


def choose(rows: int, matches: int, limit: int, effort: SearchEffort, ef: int, curve: RecallCurve | None) -> Choice:
    """Choose for a segment of `rows` live rows, about `matches` of them matching; `ef`: what it takes unfiltered."""
    key_ns, row_ns = (KEY_NS, ROW_NS) if curve is None else (curve.key_ns or KEY_NS, curve.row_ns or ROW_NS)
    share = max(min(matches / max(rows, 1), 1.0), 1e-9)
    # The pool must hold `limit` matches, even where chance makes them fewer than their share.
    pool = max(ef * pool_factor(share, limit, effort, curve), (limit + CHANCE * sqrt(limit)) / share)
    graph_ns, scan_ns, depth = pool * key_ns, matches * row_ns, 0
    if curve is not None and not effort.exact:
        wanted = curve.depth_for(_recall_asked(curve, effort, ef, limit), limit)
        sketches_ns = wanted * key_ns + matches * curve.sketch_ns
        if wanted and sketches_ns < scan_ns:
            scan_ns, depth = sketches_ns, wanted
    if effort.exact or matches <= limit or scan_ns <= graph_ns or pool * SPARE > POOL_MAX:
        return Choice(None, graph_ns, scan_ns, depth)
    widest = min(max(ceil(scan_ns / key_ns), ceil(pool * SPARE)), POOL_MAX)
    growth = 1.0 if share >= 1.0 else log(pool / ef) / log(1.0 / share)
    widen = 0.0 if share >= 1.0 else (1.0 - share**growth) / (1.0 - share)
    far = ceil(ef * far_factor(share))
    far_keys = FAR_KEYS_PACKED if curve is not None and curve.sketch_ns else FAR_KEYS
    if far * far_keys * key_ns >= scan_ns:
        far = 0
    unit = GROWTH_UNIT
    reach = Reach(ef, min(ceil(unit * widen), unit), widest, max(ceil(unit * growth), 1), share, far)
    return Choice(reach, graph_ns, scan_ns, depth)


def _recall_asked(curve: RecallCurve, effort: SearchEffort, ef: int, limit: int) -> float:
    """Recall that a scan by sketches must have: that of the effort without a filter, with a third of its misses."""
    asked = effort.target_recall if effort.ef is None else curve.recall_for(ef, limit)
    return 1.0 - (1.0 - asked) * SCAN_MISSES


def far_factor(share: float) -> float:
    """How many times the pool of an unfiltered search a walk among kept rows needs from a query far from all of them.

    Measured on 116,659 sentence embeddings, kept by their rank along the main direction and asked for from its far
    half: 1.8 times at a share of .5, 5 at .2, 6 at .1.
    """
    halvings = log2(1.0 / share)
    return max(1.0 + halvings, 2.0 * halvings)


def pool_factor(share: float, limit: int, effort: SearchEffort, curve: RecallCurve | None) -> float:
    """How many times the pool of an unfiltered search finds the best `limit` of a share of the rows."""
    if curve is None:
        return min(1.0 / share, EF_MAX)
    target = effort.target_recall if effort.ef is None else TARGET_RECALL_DEFAULT
    farther = curve.ef_for(target, min(ceil(limit / share), EF_MAX))
    return max(farther / curve.ef_for(target, limit), 1.0)
