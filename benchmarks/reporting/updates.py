"""Tables of the `updates` suite: what was to be reached, the disk's room, speeds at equal recall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.reporting.table import number, table
from benchmarks.reporting.targets import Target, target_table

SPEED: Final = 0.9
SIZE: Final = 2.2
BACKUP: Final = 1.05
RECALLS: Final = ("0.95", "0.99")
"""Where the speed is to be kept; the others are in the table."""

SIZES: Final = {
    "fresh_mb": "fresh, optimized",
    "largest_mb": "replaced, at its largest",
    "indexed_mb": "replaced and indexed",
    "optimized_mb": "replaced and optimized",
    "fresh_backup_mb": "compact backup of fresh",
    "optimized_backup_mb": "compact backup of replaced",
}


def updates_tables(results: Mapping[str, Any]) -> list[str]:
    """The lines of the suite's section."""
    sizes, raw = results["sizes"], results["raw_mb"]
    rows = [
        [label, number(sizes[name]), number(sizes[name] / raw, 2), number(sizes[name] / sizes["fresh_mb"], 2)]
        for name, label in SIZES.items()
    ]
    speeds = [
        [one["stage"], *(number(ratio, 2) for ratio in one["ratios"].values()), str(one["segments"])]
        for one in results["stages"]
    ]
    recalls = [f"at recall {float(target):.2f}" for target in results["stages"][0]["ratios"]]
    share = f"{results['share']:.0%} of the records were replaced in random order, in {results['replace_s']:,.0f} s."
    return [
        share,
        "",
        *target_table(targets_of(results)),
        *table(["disk", "MB", "/ raw vectors", "/ fresh"], rows),
        "Queries per second of the replaced database by those of the fresh one:",
        "",
        *table(["index", *recalls, "segments"], speeds),
    ]


def targets_of(results: Mapping[str, Any]) -> list[Target]:
    """Speed at equal recall in both stages, and sizes."""
    sizes = results["sizes"]
    return [
        *(
            Target(f"queries/s by fresh, recall {float(recall):.2f}, {one['stage']}", SPEED, one["ratios"].get(recall))
            for one in results["stages"]
            for recall in RECALLS
        ),
        Target("disk by fresh, indexed", SIZE, sizes["indexed_mb"] / sizes["fresh_mb"], at_most=True),
        Target("disk by fresh, optimized", SIZE, sizes["optimized_mb"] / sizes["fresh_mb"], at_most=True),
        Target(
            "compact backup by fresh", BACKUP, sizes["optimized_backup_mb"] / sizes["fresh_backup_mb"], at_most=True
        ),
    ]
