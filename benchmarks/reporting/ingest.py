"""Tables of the `ingest` suite: what was to be reached with what was measured, speeds, runs after the first, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.reporting.table import number, table
from benchmarks.reporting.targets import Target, ratio_of, reason_of, speed_cells, target_table

RATES: Final = {
    "embedder_one_cpu": "the model alone, one CPU",
    "embedder": "the model alone, all CPUs",
    "stream": "ingest stream of the same vectors alone",
    "end_to_end": "vecdb ingest run, all of the process",
}
RUNS: Final = {
    "first": "first",
    "untouched": "again, nothing changed",
    "touched": "again, the file has a new time",
}
MODELS: Final = ("embedder_one_cpu", "embedder")
"""The model has one CPU while a server works on another, and all of them only where nothing else works."""

END_TO_END: Final = 0.7
RERUN: Final = 50.0
RESUME_S: Final = 3.0
GROWTH: Final = 1.1
"""Own memory in the last fifth of a run beside that in its middle fifth: flat but for a tenth. Before, queues fill and
pages of the journal come into use; that takes some seconds, and a run of all texts less than eight."""

RUNNING: Final = "without the start of Python"
"""The model alone is measured so, too: in a process that has loaded it."""

Sample = Sequence[float]


def ingest_tables(results: Mapping[str, Any]) -> list[str]:
    """The lines of the suite's section."""
    size = f"{results['texts']:,} texts, {results['bytes'] / 1e6:,.1f} MB of JSON Lines, model `{results['model']}`"
    lines = [f"{size}; ingestor and server share all CPUs.", "", *target_table(targets_of(results))]
    makers: dict[str, Callable[[Any], list[str]]] = {"speed": _speed, "resume": _resume}
    for part, maker in makers.items():
        found = results.get(part)
        if found is None:
            continue
        lines += [f"### {part.capitalize()}", ""]
        reason = reason_of(found)
        lines += [f"Not measured: {reason}", ""] if reason else maker(found)
    return lines


def targets_of(results: Mapping[str, Any]) -> list[Target]:
    """All that can be told from the parts that were measured."""
    speed, resume = results.get("speed"), results.get("resume")
    found = [] if speed is None or reason_of(speed) else _speed_targets(speed)
    if resume is not None and not reason_of(resume):
        worst = max((one["first_embedded_s"] for one in resume if one["first_embedded_s"] is not None), default=None)
        found.append(Target("first text embedded after SIGKILL, s", RESUME_S, worst, at_most=True))
    return found


def _speed_targets(speed: Mapping[str, Any]) -> list[Target]:
    rates, seconds = speed["rates"], speed["seconds"]
    growth = max((value for value in map(growth_of, speed["memory"]) if value is not None), default=None)
    bound = slower_half(rates, MODELS[0])
    return [
        *(
            Target(f"end to end / {RATES[slower]}", END_TO_END, ratio_of(rates, "end_to_end", slower))
            for slower in dict.fromkeys(slower_half(rates, model) for model in MODELS)
        ),
        Target(f"the run itself / {RATES[bound]}, {RUNNING}", END_TO_END, _running_share(speed, bound)),
        *(
            Target(f"first run / {label}, {of}", RERUN, ratio_of(taken, "first", name), digits=1)
            for of, taken in (("whole processes", seconds), (RUNNING, speed["work_seconds"]))
            for name, label in {"untouched": "run with nothing changed", "touched": "run with a touched file"}.items()
        ),
        Target("own memory at the end / half way", GROWTH, growth, at_most=True),
    ]


def _running_share(speed: Mapping[str, Any], half: str) -> float | None:
    """How fast the whole is beside one half, both from when their processes run."""
    share = ratio_of(speed["rates"], "end_to_end", half)
    whole, work = (speed[clock]["first"]["median"] for clock in ("seconds", "work_seconds"))
    return share * whole / work if share and whole and work else None


def slower_half(rates: Mapping[str, Any], model: str) -> str:
    """Which of the two halves bounds the whole; `model` is one of MODELS."""
    return min((model, "stream"), key=lambda name: rates[name]["median"] or 0.0)


def growth_of(samples: Sequence[Sample]) -> float | None:
    """Own memory in the last fifth of a run by that in its middle one; None of a run too short to tell."""
    if not samples:
        return None
    end = samples[-1][0]
    early = [own for at, _, own in samples if 0.4 * end <= at < 0.6 * end]
    late = [own for at, _, own in samples if at >= 0.8 * end and own > 0]
    return median(late) / median(early) if early and late and median(early) else None


def _speed(speed: Mapping[str, Any]) -> list[str]:
    rates, seconds, work = speed["rates"], speed["seconds"], speed["work_seconds"]
    speeds = [
        [label, *speed_cells(rates[name]), number(ratio_of(rates, "end_to_end", name), 2)]
        for name, label in RATES.items()
    ]
    runs = [
        [
            label,
            *speed_cells(seconds[name], 2),
            number(work[name]["median"], 2),
            number(ratio_of(seconds, "first", name), 1),
            number(ratio_of(work, "first", name), 1),
        ]
        for name, label in RUNS.items()
    ]
    most = max((sample[1:] for run in speed["memory"] for sample in run), default=(None, None))
    columns = ["run", "s", "range", "of it the run itself", "first / this", "without the start of Python"]
    return [
        f"Vectors of {speed['dim']} dimensions; alone on all CPUs, the model is called by {speed['threads']} threads.",
        "",
        *table(["", "texts/s", "range", "end to end / this"], speeds),
        *table(columns, runs),
        f"Most memory, helping processes included: {number(most[0])} MB with mapped files, {number(most[1])} MB else.",
        "",
    ]


def _resume(turns: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            number(one["stored_at_kill"]),
            number(one["first_embedded_s"], 2),
            number(one["first_stored_s"], 2),
            number(one["seconds"], 2),
            number(one["embedded"]),
        ]
        for one in turns
    ]
    note = "SIGKILL on the way, then the same command: seconds since its start."
    columns = ["stored at the kill", "first text embedded, s", "first text stored, s", "all, s", "texts embedded"]
    return [note, "", *table(columns, rows)]
