"""Moves an existing hnswlib index into a collection, graph included, and writes one back out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hnswlib
import numpy as np

import vecdb

DIM = 48
ROWS = 3_000

vectors = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)
index = hnswlib.Index(space="cosine", dim=DIM)
index.init_index(max_elements=ROWS, M=16, ef_construction=100)
index.add_items(vectors, np.arange(ROWS))

with tempfile.TemporaryDirectory() as directory:
    saved = Path(directory) / "index.bin"
    index.save_index(str(saved))

    with vecdb.open(Path(directory) / "data") as db:
        # only import files that you trust: see SECURITY.md
        docs = db.import_hnswlib("docs", saved, dim=DIM, metric="cosine")
        print("imported", len(docs), "records; nearest to row 5:", docs.search(vectors[5], limit=3).ids)
        docs.upsert([{"id": "new", "vector": vectors[5] + 0.01, "metadata": {"note": "hnswlib knows no metadata"}}])
        print("after a write:", docs.search(vectors[5], limit=3).ids)

        docs.optimize()  # a file holds one graph, so the tail and all segments are made one
        exported = Path(directory) / "exported.bin"
        ids = docs.export_hnswlib(exported)

    again = hnswlib.Index(space="cosine", dim=DIM)
    again.load_index(str(exported))
    again.set_ef(100)
    labels, distances = again.knn_query(vectors[5], k=3)
    print("hnswlib answers:", [ids[label] for label in labels[0]], distances[0].round(4).tolist())
