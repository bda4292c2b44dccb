"""Lists the libraries that the `ann` suite measures. Importing it imports none of them."""

from __future__ import annotations

from typing import Final

from benchmarks.engines import (
    faiss_indexes,
    hnswlib_hnsw,
    ngt_graph,
    pynndescent_graph,
    rabitqlib_graphs,
    scann_tree,
    usearch_hnsw,
    vecdb_index,
    voyager_hnsw,
    vsag_hgraph,
)
from benchmarks.engines.protocol import EngineSpec

SPECS: Final = (
    vecdb_index.SPEC,
    hnswlib_hnsw.SPEC,
    faiss_indexes.HNSW,
    faiss_indexes.HNSW_SQ8,
    faiss_indexes.IVF_PQ,
    usearch_hnsw.F32,
    usearch_hnsw.I8,
    pynndescent_graph.SPEC,
    voyager_hnsw.SPEC,
    scann_tree.SPEC,
    ngt_graph.SPEC,
    rabitqlib_graphs.SYMPHONY,
    rabitqlib_graphs.HNSW,
    vsag_hgraph.SPEC,
)
ENGINES: Final[dict[str, EngineSpec]] = {spec.name: spec for spec in SPECS}
"""Every engine by name, in the order of reports."""
