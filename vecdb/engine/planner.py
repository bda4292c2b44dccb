"""Decides, for one segment, whether a filtered search walks the graph or compares the matching rows one by one.

Both cost time that can be told beforehand: a scan a fixed time for each matching row, a walk a fixed time for each
candidate of its pool. Both times are measured when a segment is built, on the machine that builds it, and stored with
its recall curve. How large the pool must be follows from that curve: to find the best k of a share p of all rows is to
find the best k / p of all.
Promises: deterministic for a segment, a filter's matches and an effort. Concurrency: pure functions.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf, log, log2, sqrt
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

KEPT_KEYS: Final = 2.0
"""Times the cost of a candidate of an unfiltered search over packed rows that one of a walk among a tenth of the rows
has: 90 us for 163 of them, where 40 take 17.5 without a filter, part of that whatever their number."""

TRIAL_SHARE: Final = 2.0
"""Share that a walk is told where a scan takes less time than it, unless many of the rows around the query match: it
then ends where four rows do not match and these are more than half. Among 12 % of all rows, all on the query's side, a
walk takes 33 us in all, a scan 107. Mostly the links around the entry tell beforehand."""

TRIAL_GAIN: Final = 4.0
"""A walk is tried where a scan takes this many times what it takes among matches alone: in vain it costs up to 15 us,
where the links around the entry do not tell beforehand."""

FAR_SIGNS: Final = 4
"""Times the pool of a walk among kept rows where it goes by signs (`kernels.kept_signs`)."""

LEAN_POOL: Final = 6
"""Times the pool of an unfiltered search with which a walk by signs is tried beside what is sure to find enough. In a
million rows of 128 components it then finds more than a search without a filter at a share of .5 (300 queries at the
far end), of a mixture of 50 Gaussians .951 among a half and less than .9 among a third, where .973 are found without a
filter. So each filter has to show it."""

LEAN_KEYS: Final = 1.5
"""Times the cost of a candidate of an unfiltered search that one of LEAN_POOL has: 62 to 87 us for 84 and 120."""

LEAN_GAIN: Final = 1.25
"""Times the cost of a lean walk that what is sure must have for one to be tried."""

FAR_KEYS: Final = 2.7
FAR_KEYS_PACKED: Final = 8.0
"""Times the cost of a candidate of an unfiltered search that one of a walk among kept rows has (kernels.kept), where
searches go by codes and over packed rows: 193 us for 56 candidates, where a packed search takes 17.5 us for 40."""

GROWTH_UNIT: Final = 64
CHANCE: Final = 2.0
"""Standard deviations of the count of matches in a pool that a plan allows for."""

MARGINS: Final = ((0.94, 64), (0.96, 96), (0.985, 128), (0.998, 160))
"""Margins, in 64ths of the error of sketches, by the recall that is asked for. With 64, 96, 128 and 160 (1 to 2.5
standard deviations) a scan of a tenth of 116,659 sentence embeddings finds .976, .991, .997 and .999 of the nearest
ten, and .945, .981, .994 and .999 where all matches are about as far from the query. The error does not depend on the
data."""

LIKE_UNFILTERED: Final = 0.985
"""Share of the recall without a filter that a walk with the same `ef` is to have at least: curves are steeper where a
pool is small, so the factor for the usual recall is too little there. A million rows of 128 components, a tenth of them
kept: .900 where .950 were found without a filter."""

SPARE: Final = 1.5
"""A walk may use this many times the pool it is expected to need before the plan turns to a scan."""


class Choice(NamedTuple):
    """What to do in a segment: walk the graph as far as `reach` says (None: do not), else scan the matching rows.

    A scan goes by sketches with a `margin` (see `kernels.sketches`), or, where that is 0, by codes. `lean`: a walk that
    would take less among matches far from the query, if it found `wanted` of what is found otherwise.
    """

    reach: Reach | None
    graph_ns: float
    scan_ns: float
    margin: int = 0
    lean: Reach | None = None
    wanted: float = 1.0


def choose(
    rows: int,
    matches: int,
    limit: int,
    effort: SearchEffort,
    ef: int,
    curve: RecallCurve | None,
    *,
    are_copied: bool = False,
    is_checked: bool = False,
) -> Choice:
    """Choose for a segment of `rows` live rows, about `matches` of them matching; `ef`: what it takes unfiltered.

    `are_copied`: the sketches of the matches are. `is_checked`: walks compare rows before they enter the pool.
    """
    key_ns, row_ns = (KEY_NS, ROW_NS) if curve is None else (curve.key_ns or KEY_NS, curve.row_ns or ROW_NS)
    share = max(min(matches / max(rows, 1), 1.0), 1e-9)
    # The pool must hold `limit` matches, even where chance makes them fewer than their share.
    pool = max(ef * pool_factor(share, limit, effort, curve), (limit + CHANCE * sqrt(limit)) / share)
    packed = curve is not None and curve.sketch_ns > 0
    graph_ns, scan_ns, margin = pool * key_ns * (KEPT_KEYS if packed else 1.0), matches * row_ns, 0
    if curve is not None and packed and not effort.exact:
        wanted = margin_for(effort.target_recall if effort.ef is None else curve.recall_for(ef, limit))
        sketches_ns = 2 * limit * key_ns + matches * (curve.copied_ns if are_copied else curve.sketch_ns)
        if wanted and sketches_ns < scan_ns:
            scan_ns, margin = sketches_ns, wanted
    is_tried = packed and scan_ns > TRIAL_GAIN * ef * key_ns * KEPT_KEYS
    lean_ns = LEAN_GAIN * LEAN_POOL * ef * LEAN_KEYS * key_ns if packed and is_checked else inf
    is_tried = is_tried or lean_ns < scan_ns
    if effort.exact or matches <= limit or pool * SPARE > POOL_MAX or (scan_ns <= graph_ns and not is_tried):
        return Choice(None, graph_ns, scan_ns, margin)
    widest = min(max(ceil(scan_ns / key_ns), ceil(pool * SPARE)), POOL_MAX)
    growth = 1.0 if share >= 1.0 else log(pool / ef) / log(1.0 / share)
    widen = 0.0 if share >= 1.0 else (1.0 - share**growth) / (1.0 - share)
    far, tried = ceil(ef * far_factor(share)), TRIAL_SHARE if scan_ns <= graph_ns else 0.0
    far_ns = far * (FAR_KEYS_PACKED if packed else FAR_KEYS) * key_ns
    if tried or far_ns >= scan_ns:
        far, far_ns = 0, scan_ns
    unit = GROWTH_UNIT
    walked = far * FAR_SIGNS if packed and is_checked else far
    reach = Reach(ef, min(ceil(unit * widen), unit), widest, max(ceil(unit * growth), 1), share, walked, tried)
    lean = replace(reach, far=LEAN_POOL * ef) if lean_ns < far_ns else None
    return Choice(reach, graph_ns, scan_ns, margin, lean, _like_unfiltered(ef, limit, effort, curve))


def _like_unfiltered(ef: int, limit: int, effort: SearchEffort, curve: RecallCurve | None) -> float:
    """What a search without a filter finds."""
    if effort.ef is None:
        return effort.target_recall
    return 1.0 if curve is None else curve.recall_for(ef, limit)


def margin_for(recall: float) -> int:
    """Margin of a scan by sketches that misses less than a search of such a recall does; 0: it goes by codes."""
    return next((margin for most, margin in MARGINS if recall <= most), 0)


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
    farther = min(ceil(limit / share), EF_MAX)
    if effort.ef is None:
        return max(curve.ef_for(effort.target_recall, farther) / curve.ef_for(effort.target_recall, limit), 1.0)
    usual = curve.ef_for(TARGET_RECALL_DEFAULT, farther) / curve.ef_for(TARGET_RECALL_DEFAULT, limit)
    wanted = LIKE_UNFILTERED * curve.recall_for(effort.ef, limit)
    return max(usual, curve.ef_for(wanted, farther) / max(effort.ef, limit), 1.0)
