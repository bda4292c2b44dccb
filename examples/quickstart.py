"""The smallest complete program: open, write, search, read, update, delete."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import vecdb

rng = np.random.default_rng(0)
titles = [f"document {number}" for number in range(1_000)]
vectors = rng.normal(size=(len(titles), 64)).astype(np.float32)

with tempfile.TemporaryDirectory() as directory, vecdb.open(Path(directory) / "data") as db:
    docs = db.create_collection("docs", dim=64, metric="cosine")

    # columns: ids, one matrix, one dict per record; everything in one transaction, on the disk when it returns
    docs.upsert(list(range(1_000)), vectors, [{"title": title} for title in titles])

    # records: the same, one dict each
    docs.upsert([{"id": "extra", "vector": -vectors[7], "metadata": {"title": "the opposite of document 7"}}])

    for hit in docs.search(vectors[7], limit=3):
        print(f"{hit.id!r:>8}  score {hit.score:.3f}  {hit.metadata}")

    docs.update("extra", metadata={"title": "changed", "tags": ["a", "b"]})
    print(docs.get("extra"))
    print(docs.delete(ids=["extra", 7]).count, "deleted;", len(docs), "left;", 7 in docs)

    answers = docs.search_batch(vectors[:5], limit=2)
    print(answers.ids.tolist())
    print(answers.scores.round(3).tolist())
