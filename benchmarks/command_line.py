"""The command line of the harness: `run` a suite, `report` on raw results, `compare` two of them.

    python -m benchmarks run ann --dataset wordnet-minilm --data DIR --engines vecdb,hnswlib --out DIR
    python -m benchmarks report DIR/ann.json --out DIR
    python -m benchmarks compare BEFORE.json AFTER.json

Each run writes one raw JSON file and a report with tables and plots beside it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.databases import DATABASES, STORES
from benchmarks.databases.protocol import DatabaseSpec
from benchmarks.databases.records import synthetic_records, wordnet_records
from benchmarks.datasets import WORDNET, Dataset, DatasetError, load, true_distances
from benchmarks.datasets.texts import text_records
from benchmarks.datasets.wordnet import data_directory
from benchmarks.engines import ENGINES
from benchmarks.engines.protocol import Matrix
from benchmarks.method.environments import prepare
from benchmarks.method.machine import command_line, machine_facts
from benchmarks.reporting import PlotError, compare, findings_table, write_report
from benchmarks.suites import (
    ann,
    coldstart,
    ingest,
    kernels,
    multiprocess,
    recall,
    scale,
    serve,
    streaming,
    updates,
)
from benchmarks.suites.ann import AnnOptions, print_progress, run_ann
from benchmarks.suites.contest import K as DB_HITS
from benchmarks.suites.contest import Plan, scratch_beside
from benchmarks.suites.db import run_db
from benchmarks.suites.filtered import CHECKS_DEFAULT, run_filtered
from vecdb.types import Metric

FORMAT: Final = 1
QUERIES: Final = 1_000


def main() -> None:
    """Parse the command line and do what it says; the exit status of `compare` is 1 when something became worse."""
    options = _parser().parse_args()
    try:
        sys.exit(options.do(options))
    except (DatasetError, PlotError, ValueError) as error:
        sys.exit(f"{error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure, write the raw figures and a report")
    run.add_argument("suite", choices=sorted(SUITES))
    run.set_defaults(do=run_suite)
    _add_run_options(run)
    report = commands.add_parser("report", help="tables and plots of raw figures measured before")
    report.add_argument("runs", type=Path, nargs="+", help="raw JSON files")
    report.add_argument("--out", type=Path, default=Path("benchmark-report"))
    report.set_defaults(do=write_reports)
    compare = commands.add_parser("compare", help="what became slower, larger or less exact, beyond the noise")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.set_defaults(do=compare_runs)
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--dataset", default="wordnet-minilm", help="a name of the list, or a file")
    run.add_argument("--metric", choices=["cosine", "dot", "l2"], help="default: the data set's own")
    run.add_argument("--rows", type=int, help="base rows (a part of the data set, or how many to generate)")
    run.add_argument("--data", type=Path, default=os.environ.get("VECDB_DATA"), help="directory of the data set")
    run.add_argument("--cache", type=Path, help="where data, truth and environments are kept between runs")
    run.add_argument("--engines", default="", help="names, separated by commas; default all")
    run.add_argument("--out", type=Path, default=Path("benchmark-results"))
    run.add_argument("--k", type=int, default=10)
    run.add_argument("--repeats", type=int, default=3)
    run.add_argument("--settings", type=int, default=2, help="build settings per engine")
    run.add_argument("--build-threads", type=int, default=1)
    run.add_argument("--cap", type=float, default=1_800.0, help="seconds an engine may take in all")
    run.add_argument("--install", action="store_true", help="make the separate environments that engines need")
    run.add_argument("--sizes", default="10000,100000,1000000", help="rows of the scale suite")
    run.add_argument("--checks", type=int, default=CHECKS_DEFAULT, help="random filters compared with numpy")
    run.add_argument("--databases", type=Path, help="where the filtered suite leaves databases, and finds them again")
    run.add_argument("--parts", default="", help="parts of the serve and ingest suites; default all")
    run.add_argument("--modes", default=",".join(ann.MODES))


def run_suite(options: argparse.Namespace) -> int:
    """Run one suite, then write its report beside its raw figures."""
    options.data = None if options.data is None else Path(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"{options.suite}.json"
    SUITES[options.suite](options, target)
    report = json.loads(target.read_text())
    report["finished"] = _now()
    target.write_text(json.dumps(report, indent=1))
    print_progress(f"raw figures: {target}")
    options.runs = [target]
    return write_reports(options)


def write_reports(options: argparse.Namespace) -> int:
    """Write report and plots of raw files."""
    print_progress(f"report: {write_report(options.runs, options.out)}")
    return 0


def compare_runs(options: argparse.Namespace) -> int:
    """Print what differs beyond the noise; 1 when something became worse."""
    findings = compare(options.before, options.after)
    print(findings_table(findings))
    return int(any(finding.worse for finding in findings))


# --- suites -----------------------------------------------------------------------------------------------------------


def _names(given: str, known: Mapping[str, object], what: str) -> tuple[str, ...]:
    names = tuple(filter(None, given.split(","))) or tuple(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no {what} called {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _dataset(options: argparse.Namespace, rows: int | None = None) -> Dataset:
    print_progress(f"data set {options.dataset}")
    return load(
        options.dataset,
        metric=options.metric,
        rows=rows or options.rows,
        queries=QUERIES,
        data=options.data,
        cache=options.cache,
    )


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _head(suite: str, dataset: Dataset | None, k: int) -> dict[str, Any]:
    head = {"format": FORMAT, "suite": suite, "command": command_line(), "started": _now(), "machine": machine_facts()}
    if dataset is not None:
        rows, dim = dataset.base.shape
        facts = {"name": dataset.name, "rows": rows, "dim": dim, "metric": dataset.metric}
        head["dataset"] = facts | {"queries": len(dataset.queries), "k": k, "digest": dataset.digest}
    return head


def _run_ann(options: argparse.Namespace, target: Path) -> None:
    dataset = _dataset(options)
    engines = _names(options.engines, ENGINES, "engine")
    if options.install:
        for environment in sorted({ENGINES[name].environment for name in engines}):
            print_progress(f"environment {environment}")
            prepare(environment, options.cache)
    print_progress("exact answers")
    bounds = true_distances(dataset, options.k, options.cache)
    plan = AnnOptions(
        engines=engines,
        settings_per_engine=options.settings,
        k=options.k,
        repeats=options.repeats,
        build_threads=options.build_threads,
        cap_s=options.cap,
        modes=tuple(options.modes.split(",")),
        cache=options.cache,
    )
    run_ann(dataset, bounds, plan, _head("ann", dataset, options.k), target, print_progress)


def _records(options: argparse.Namespace, dataset: Dataset) -> list[dict[str, Any]]:
    """Records of a data set, for suites that ask for 10 hits."""
    if options.k != DB_HITS:
        raise ValueError(f"the {options.suite} suite asks for {DB_HITS} hits; --k {options.k} is for the others")
    rows = len(dataset.base)
    wordnet = dataset.name == WORDNET
    return wordnet_records(data_directory(options.data), QUERIES, rows) if wordnet else synthetic_records(rows)


def _contest_plan(options: argparse.Namespace, known: Mapping[str, DatabaseSpec], target: Path) -> Plan:
    dataset = _dataset(options)
    return Plan(
        dataset,
        _records(options, dataset),
        _names(options.engines, known, "database"),
        target,
        _head(options.suite, dataset, options.k),
        print_progress,
        repeats=options.repeats,
        cap_s=options.cap,
        cache=options.cache,
    )


def _run_filtered(options: argparse.Namespace, target: Path) -> None:
    plan = replace(_contest_plan(options, DATABASES, target), databases=options.databases)
    run_filtered(plan, options.checks)


def _run_db(options: argparse.Namespace, target: Path) -> None:
    run_db(_contest_plan(options, STORES, target))


def _run_scale(options: argparse.Namespace, target: Path) -> None:
    def generate(rows: int) -> tuple[Matrix, Matrix]:
        made = _dataset(options, rows)
        return made.base, made.queries

    sizes = [int(size) for size in options.sizes.split(",")]
    metric = _dataset(options, min(sizes)).metric
    plan = scale.ScaleOptions(
        generate=generate,
        metric=metric,
        name=options.dataset,
        sizes=sizes,
        k=options.k,
        repeats=options.repeats,
        progress=print_progress,
    )
    _write(target, _head("scale", None, options.k), scale.run(plan))


def _run_streaming(options: argparse.Namespace, target: Path) -> None:
    dataset = _dataset(options)
    first = max(1, len(dataset.base) // 4)
    plan = streaming.StreamingOptions(
        base=dataset.base,
        queries=dataset.queries,
        metric=_metric(dataset),
        first_rows=first,
        k=options.k,
        progress=print_progress,
    )
    _write(target, _head("streaming", dataset, options.k), streaming.run(plan))


def _run_updates(options: argparse.Namespace, target: Path) -> None:
    dataset = _dataset(options)
    with scratch_beside(target) as scratch:
        plan = updates.UpdatesOptions(
            dataset=dataset,
            bounds=true_distances(dataset, options.k, options.cache),
            k=options.k,
            repeats=options.repeats,
            directory=scratch,
            progress=print_progress,
        )
        _write(target, _head("updates", dataset, options.k), updates.run(plan))


def _run_recall(options: argparse.Namespace, target: Path) -> None:
    def opened(name: str) -> Dataset:
        return _dataset(argparse.Namespace(**{**vars(options), "dataset": name}))

    with scratch_beside(target) as scratch:
        plan = recall.RecallOptions(
            names=options.dataset.split(","), load=opened, k=options.k, directory=scratch, progress=print_progress
        )
        _write(target, _head("recall", None, options.k), recall.run(plan))


def _run_coldstart(options: argparse.Namespace, target: Path) -> None:
    dataset = _dataset(options)
    plan = coldstart.ColdstartOptions(base=dataset.base, metric=_metric(dataset), progress=print_progress)
    _write(target, _head("coldstart", dataset, options.k), coldstart.run(plan))


def _run_multiprocess(options: argparse.Namespace, target: Path) -> None:
    dataset = _dataset(options)
    plan = multiprocess.MultiprocessOptions(
        base=dataset.base, queries=dataset.queries, metric=_metric(dataset), k=options.k, progress=print_progress
    )
    _write(target, _head("multiprocess", dataset, options.k), multiprocess.run(plan))


def _run_serve(options: argparse.Namespace, target: Path) -> None:
    parts = _names(options.parts, dict.fromkeys(serve.PARTS), "part")
    dataset = _dataset(options)
    with scratch_beside(target) as scratch:
        plan = serve.ServeOptions(
            dataset=dataset,
            records=_records(options, dataset),
            scratch=scratch,
            parts=parts,
            repeats=options.repeats,
            cache=options.cache,
            progress=print_progress,
        )
        _write(target, _head("serve", dataset, options.k), serve.run(plan))


def _run_ingest(options: argparse.Namespace, target: Path) -> None:
    parts = _names(options.parts, dict.fromkeys(ingest.PARTS), "part")
    records = text_records(options.dataset, options.rows, options.data)
    with scratch_beside(target) as scratch:
        plan = ingest.IngestOptions(
            records=records, scratch=scratch, parts=parts, repeats=options.repeats, progress=print_progress
        )
        _write(target, _head("ingest", None, options.k), ingest.run(plan))


def _run_kernels(options: argparse.Namespace, target: Path) -> None:
    results = kernels.run(kernels.KernelsOptions(repeats=options.repeats, progress=print_progress))
    _write(target, _head("kernels", None, options.k), results)


def _metric(dataset: Dataset) -> Metric:
    return cast(Metric, dataset.metric)


def _write(target: Path, head: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    target.write_text(json.dumps({**head, "results": results}, indent=1), encoding="utf-8")


SUITES: Final[dict[str, Callable[[argparse.Namespace, Path], None]]] = {
    "ann": _run_ann,
    "coldstart": _run_coldstart,
    "db": _run_db,
    "filtered": _run_filtered,
    "ingest": _run_ingest,
    "kernels": _run_kernels,
    "multiprocess": _run_multiprocess,
    "recall": _run_recall,
    "scale": _run_scale,
    "serve": _run_serve,
    "streaming": _run_streaming,
    "updates": _run_updates,
}
