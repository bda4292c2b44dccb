"""What a run is done with is freed at once: nothing that holds texts or vectors waits for a search for circles."""

from __future__ import annotations

import gc
import json
from collections import Counter
from pathlib import Path

import vecdb

TEXTS = 3_000


def test_a_run_leaves_no_circles_of_what_it_stored(tmp_path: Path) -> None:
    rows = (json.dumps({"id": f"row-{number}", "text": f"text number {number}"}) for number in range(TEXTS))
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    gc.collect()
    gc.disable()
    try:
        report = vecdb.ingest.run(
            [str(tmp_path / "rows.jsonl")], to=str(tmp_path / "db"), collection="docs", state=str(tmp_path / "state")
        )
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(found).__name__ for found in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert report.counts.stored == TEXTS
    assert {name: count for name, count in left.items() if name in {"Item", "Entry", "Swap"}} == {}
