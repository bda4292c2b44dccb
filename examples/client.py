"""Load and search a database over gRPC: bulk loading with progress, filters, transactions, and many searches at once.

`python examples/client.py` starts a server of its own, `python examples/client.py localhost:50051` uses yours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import vecdb
from vecdb import F

DIM = 64
BATCHES, BATCH_RECORDS = 10, 500


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """Run `vecdb serve` on a free port of this machine; gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vecdb", "serve", "--data", str(Path(folder) / "data")]
        command += ["--listen", "127.0.0.1:0", "--no-access-log", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or lines[-1] != "}\n":  # the document that says where it listens
                lines.append(process.stdout.readline())
                assert lines[-1], "the server did not start"
            yield json.loads("".join(lines))["listen"][0]
            process.terminate()  # it finishes what it has begun, and ends


def batches(vectors: np.ndarray) -> Iterator[tuple[list[int], np.ndarray, list[dict[str, int]]]]:
    """What a bulk load takes: batches of any size, from anywhere."""
    for start in range(0, len(vectors), BATCH_RECORDS):
        ids = list(range(start, start + BATCH_RECORDS))
        yield ids, vectors[start : start + BATCH_RECORDS], [{"year": 2000 + n % 25} for n in ids]


def use(address: str, vectors: np.ndarray) -> None:
    """All that an embedded database does, over the wire."""
    with vecdb.connect(address) as db:
        docs = db.create_collection("example-docs", dim=DIM, exist_ok=True)
        loaded = docs.ingest(batches(vectors), progress=lambda done, total: print(f"  {done} of {total} stored"))
        print(f"loaded {loaded.count} records; the last commit has seq {loaded.seq}")

        docs.create_index("year", "int")
        hits = docs.search(vectors[7], limit=3, filter=F("year") >= 2005)
        print("nearest since 2005:", [(hit.id, round(hit.score, 3), hit.metadata) for hit in hits])

        with db.transaction() as tx:
            tx.collection("example-docs").update(7, metadata={"seen": True})
            tx.collection("example-docs").delete([8, 9])
        print(f"one commit for both: {tx.result}; {len(docs)} records are left")

        try:
            docs.search(vectors[7][:3])
        except vecdb.errors.DimensionMismatchError as error:
            print("errors are those of the engine:", error)


async def search_together(address: str, queries: np.ndarray) -> None:
    """Many searches under way at once, from one event loop."""
    async with await vecdb.connect_async(address) as db:
        docs = await db.collection("example-docs")
        start = time.perf_counter()
        results = await asyncio.gather(*(docs.search(query, limit=5) for query in queries))
        print(f"{len(results)} searches in {1_000 * (time.perf_counter() - start):.0f} ms")
        start = time.perf_counter()
        batch = await docs.search_batch(queries, limit=5)
        print(f"the same as one batch in {1_000 * (time.perf_counter() - start):.0f} ms")
        assert [result.ids for result in results] == [result.ids for result in batch]
        await db.drop_collection("example-docs")


def main() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(BATCHES * BATCH_RECORDS, DIM)).astype(np.float32)
    with own_server() if len(sys.argv) < 2 else contextlib.nullcontext(sys.argv[1]) as address:
        print(f"connecting to {address}")
        use(address, vectors)
        asyncio.run(search_together(address, vectors[:40]))


if __name__ == "__main__":
    main()
