"""Makes the WordNet sample from a full set of WordNet embeddings: `python make_sample.py SOURCE TARGET`.

SOURCE holds `vectors.f16.npy` (n, 384) and `records.jsonl.gz` in the same order. The choice is by WordNet's
lexicographer files, whole files only: every record keeps its real neighbours, which a random choice would lose.
The output depends on nothing but SOURCE.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

LEXICOGRAPHER_FILES = {
    8: "noun.body",
    12: "noun.feeling",
    13: "noun.food",
    16: "noun.motive",
    17: "noun.object",
    19: "noun.phenomenon",
    22: "noun.process",
    25: "noun.shape",
    33: "verb.competition",
    34: "verb.consumption",
    37: "verb.emotion",
    43: "verb.weather",
}
SAMPLE_BYTES_MAX = 8_000_000
COLUMNS = ("id", "text", "words", "pos", "lexicographer_file", "gloss_length")


def read_records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write_records(path: Path, records: list[dict[str, Any]]) -> None:
    """Write JSON lines, gzipped without a time stamp so that the same input gives the same bytes."""
    lines = "".join(json.dumps({key: record[key] for key in COLUMNS}, ensure_ascii=False) + "\n" for record in records)
    path.write_bytes(gzip.compress(lines.encode(), compresslevel=9, mtime=0))


def main(source: Path, target: Path) -> None:
    records = read_records(source / "records.jsonl.gz")
    vectors = np.load(source / "vectors.f16.npy", mmap_mode="r", allow_pickle=False)
    rows = [row for row, record in enumerate(records) if record["lexicographer_file"] in LEXICOGRAPHER_FILES]
    target.mkdir(parents=True, exist_ok=True)
    np.save(target / "vectors.f16.npy", np.ascontiguousarray(vectors[rows]), allow_pickle=False)
    write_records(target / "records.jsonl.gz", [records[row] for row in rows])
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{len(rows):,} records, {size:,} bytes")
    if size > SAMPLE_BYTES_MAX:
        sys.exit(f"the sample is larger than {SAMPLE_BYTES_MAX:,} bytes: drop a lexicographer file")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: make_sample.py SOURCE TARGET")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
