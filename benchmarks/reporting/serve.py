"""Tables of the `serve` suite: every target with what was measured, then each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import Any, Final

from benchmarks.reporting.table import NONE, number, table
from benchmarks.reporting.targets import Target, ratio_of, reason_of, speed_cells, target_table, turn_ratios

CALLS: Final = {
    "floor": "empty call, plain grpcio server",
    "info": "GetServerInfo through all of vecdb's server",
    "ids": "search, ids and scores",
    "metadata": "search, with metadata",
}
BATCHES: Final = {
    "batch": "SearchBatch, 100 queries a call",
    "stream": "SearchStream, the same batches",
}
QUARTERS: Final = 4
HALF: Final = "middle half"
"""Of the ratios of all rounds: what another run may well come out at."""

UNARY_RATIO: Final = 0.8
BATCH_RATIO: Final = 0.85
INGEST_RATIO: Final = 0.7
PEER_SEARCH: Final = 5.0
PEER_INGEST: Final = 3.0
GOODPUT: Final = 0.8
MEMORY_MB: Final = 256.0
REJECT_MS: Final = 50.0
NORMAL_S: Final = 5.0


def serve_tables(results: Mapping[str, Any]) -> list[str]:
    """The lines of the suite's section."""
    same = results["server_cpu"] == results["client_cpu"]
    where = "server and clients shared one CPU" if same else "server and clients had a CPU each"
    head = (
        f"Over loopback, {where}, the embedded engine the server's; effort {results['effort']}, recall "
        f"{number(results.get('recall'), 3)}. Kinds of calls took short turns; a ratio is the median over all rounds."
    )
    lines = [head, "", *target_table(targets_of(results))]
    makers: dict[str, Callable[[Any], list[str]]] = {
        "unary": _unary,
        "batch": _batch,
        "ingest": _ingest,
        "peer": _peer,
        "overload": _overload,
        "crash": _crash,
    }
    for part, maker in makers.items():
        found = results.get(part)
        if found is None:
            continue
        lines += [f"### {part.capitalize()}", ""]
        reason = reason_of(found)
        lines += [f"Not measured: {reason}", ""] if reason else maker(found)
    return lines


def _part(results: Mapping[str, Any], name: str) -> Any:
    found = results.get(name)
    return None if found is None or reason_of(found) else found


# --- targets ----------------------------------------------------------------------------------------------------------


def targets_of(results: Mapping[str, Any]) -> list[Target]:
    """All that can be told from the parts that were measured."""
    return [
        *_unary_targets(_part(results, "unary") or ()),
        *_batch_targets(_part(results, "batch") or ()),
        *_ingest_targets(_part(results, "ingest")),
        *_peer_targets(_part(results, "peer")),
        *_overload_targets(_part(results, "overload")),
        *_crash_targets(_part(results, "crash") or ()),
    ]


def _unary_targets(points: Sequence[Mapping[str, Any]]) -> list[Target]:
    return [
        Target(f"{label} / {CALLS[base]}, {_callers(one)}", UNARY_RATIO, _ratio(one["rates"], what, base))
        for one in points
        for what, label in (("ids", CALLS["ids"]), ("metadata", CALLS["metadata"]))
        for base in ("floor", "info")
    ]


def _ratio(rates: Mapping[str, Any], what: str, base: str) -> float | None:
    """The median of all rounds; of the medians where rounds are not told apart."""
    ratios, of_medians = turn_ratios(rates, what, base), ratio_of(rates, what, base)
    return median(ratios) if ratios and of_medians is not None else of_medians


def _ratio_cells(rates: Mapping[str, Any], what: str, base: str) -> list[str]:
    """The ratio, and where the middle half of all rounds lies."""
    ratios, ratio = turn_ratios(rates, what, base), number(_ratio(rates, what, base), 2)
    if len(ratios) < QUARTERS:
        return [ratio, NONE]
    low, _, high = quantiles(ratios, n=QUARTERS)
    return [ratio, f"{number(low, 2)}–{number(high, 2)}"]


def _callers(point: Mapping[str, Any]) -> str:
    return "1 caller" if point["callers"] == 1 else f"{point['callers']} callers"


def _batch_targets(points: Sequence[Mapping[str, Any]]) -> list[Target]:
    return [
        Target(
            f"{label}{words} / embedded search_batch, {_callers(one)}",
            BATCH_RATIO,
            _ratio(one["rates"], f"{what}{end}", f"embedded_batch{end}"),
        )
        for one in points
        for what, label in BATCHES.items()
        for end, words in (("", ""), ("_metadata", ", with metadata"))
        if what in one["rates"]
    ]


def _ingest_targets(part: Mapping[str, Any] | None) -> list[Target]:
    return [] if part is None else [Target("bulk load / embedded", INGEST_RATIO, ratio_of(part, "stream", "embedded"))]


def _peer_targets(part: Mapping[str, Any] | None) -> list[Target]:
    if part is None:
        return []
    ours, theirs = part["stores"]["vecdb"], part["stores"]["milvus-lite"]
    pair = {"vecdb": ours, "milvus-lite": theirs}
    searches = [
        Target(f"search, {what} / milvus-lite's server", PEER_SEARCH, _store_ratio(pair, what), digits=1)
        for what in ("ids", "metadata")
    ]
    ingest = ours["records_per_s"] / theirs["records_per_s"]
    return [*searches, Target("bulk load / milvus-lite's server", PEER_INGEST, ingest, digits=1)]


def _store_ratio(stores: Mapping[str, Mapping[str, Any]], what: str) -> float | None:
    return ratio_of({name: one[what] for name, one in stores.items()}, "vecdb", "milvus-lite")


def _overload_targets(part: Mapping[str, Any] | None) -> list[Target]:
    if part is None:
        return []
    memory = part["memory_mb"]
    return [
        Target("goodput / peak, overloaded", GOODPUT, part["goodput"] / part["peak"]["median"]),
        Target(
            "memory added by the overload, MB", MEMORY_MB, memory["most"] - memory["before"], at_most=True, digits=0
        ),
        Target("99 of 100 rejects answered within, ms", REJECT_MS, part["rejected"]["p99_ms"], at_most=True, digits=1),
        Target("normal again after, s", NORMAL_S, part["normal_after_s"], at_most=True, digits=0),
    ]


def _crash_targets(rounds: Sequence[Mapping[str, Any]]) -> list[Target]:
    return [
        Target(
            f"acknowledged records lost, {name}",
            0.0,
            float(sum(max(one["lost"], one["lost_at_the_end"]) for one in rounds if one["signal"] == name)),
            at_most=True,
            digits=0,
        )
        for name in sorted({one["signal"] for one in rounds})
    ]


# --- parts ------------------------------------------------------------------------------------------------------------


def _unary(points: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            CALLS[what],
            str(one["callers"]),
            *speed_cells(rate),
            number(rate["p50_ms"], 3),
            number(rate["p99_ms"], 3),
            *_ratio_cells(one["rates"], what, "floor"),
        ]
        for one in points
        for what, rate in one["rates"].items()
    ]
    return table(["call", "callers", "calls/s", "range", "p50 ms", "p99 ms", "of the empty call", HALF], rows)


def _batch(points: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for one in points:
        rates, callers = one["rates"], str(one["callers"])
        for end, words in (("", "ids and scores"), ("_metadata", "with metadata")):
            base = f"embedded_batch{end}"
            rows += [[f"embedded search_batch, {words}", callers, *_batch_cells(rates, base), number(1.0, 2), NONE]]
            for what, label in BATCHES.items():
                if (name := f"{what}{end}") in rates:
                    cells = _batch_cells(rates, name)
                    rows += [[f"{label}, {words}", callers, *cells, *_ratio_cells(rates, name, base)]]
    return table(["batches", "callers", "queries/s", "range", "p50 ms", "of embedded", HALF], rows)


def _batch_cells(rates: Mapping[str, Any], name: str) -> list[str]:
    return [*speed_cells(rates[name]), number(rates[name]["p50_ms"], 2)]


def _ingest(part: Mapping[str, Any]) -> list[str]:
    rows = [
        [label, *speed_cells(part[name]), number(ratio_of(part, name, "embedded"), 2)]
        for name, label in (("embedded", "embedded upsert"), ("stream", "bulk load through the stream"))
    ]
    note = f"{part['rows']:,} records in batches of 1,000, each synced to the disk."
    return [note, "", *table(["ingest", "records/s", "range", "of embedded"], rows)]


def _peer(part: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            name,
            number(one["records_per_s"]),
            number(one["ready_s"], 1),
            str(one["effort"]),
            number(one["recall"], 3),
            number(one["ids"]["median"]),
            number(one["metadata"]["median"]),
        ]
        for name, one in part["stores"].items()
    ]
    columns = ["server", "records/s", "s until indexed", "ef", "recall", "queries/s, ids", "with metadata"]
    return table(columns, rows)


def _overload(part: Mapping[str, Any]) -> list[str]:
    memory, codes = part["memory_mb"], ", ".join(f"{code} {count:,}" for code, count in sorted(part["codes"].items()))
    rows = [
        ["searches answered a second before (all records compared)", number(part["peak"]["median"], 1)],
        ["asked a second", number(part["sent"] / part["seconds"])],
        ["answered a second meanwhile", number(part["goodput"], 1)],
        [
            "answers, p50 and p99 ms",
            f"{number(part['answered']['p50_ms'], 1)}, {number(part['answered']['p99_ms'], 1)}",
        ],
        [
            "rejects, p50 and p99 ms",
            f"{number(part['rejected']['p50_ms'], 1)}, {number(part['rejected']['p99_ms'], 1)}",
        ],
        ["memory before, at most, after, MB", ", ".join(number(memory[name]) for name in ("before", "most", "after"))],
        ["answered in each second after", ", ".join(number(value, 1) for value in part["after"])],
        ["outcomes", f"{codes}, unanswered {part['unanswered']}"],
    ]
    return [f"{part['seconds']:.0f} s of more calls than can be answered.", "", *table(["overload", ""], rows)]


def _crash(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            one["signal"],
            str(one["status"]),
            number(one["seconds"], 2),
            number(one["acknowledged"]),
            number(one["lost"]),
            number(one["lost_at_the_end"]),
        ]
        for one in rounds
    ]
    note = "Five writers at once; records are looked for after the restart, and all of them again after the last round."
    columns = ["signal", "exit status", "s until the end", "records acknowledged", "lost", "lost at the end"]
    return [note, "", *table(columns, rows)]
