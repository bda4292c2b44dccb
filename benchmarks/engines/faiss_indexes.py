"""faiss: HNSW over float32, HNSW over 8-bit codes, and IVF with 4-bit product codes scanned in registers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.engines.protocol import EngineSpec, Labels, Matrix, Setting

K_FACTOR_LEAST = 4
HNSW_EFFORTS = (10, 16, 24, 32, 40, 56, 72, 96, 128, 160, 200, 256, 320, 384, 512)


class Faiss:
    """Any faiss index, described by its factory string with {codes} for the number of product codes of a row."""

    def __init__(self, setting: Setting) -> None:
        self._faiss: Any = import_module("faiss")
        self._setting = setting
        self._index: Any = None

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        faiss, dim = self._faiss, base.shape[1]
        faiss.omp_set_num_threads(threads)
        # Unit vectors have the same order by l2 as by cosine, and faiss's graphs are better on l2.
        kind = faiss.METRIC_INNER_PRODUCT if metric == "dot" else faiss.METRIC_L2
        codes = dim if dim % 2 else dim // 2
        self._index = faiss.index_factory(dim, self._setting["factory"].format(codes=codes), kind)
        if "ef_construction" in self._setting:
            self._index.hnsw.efConstruction = self._setting["ef_construction"]
        if not self._index.is_trained:
            self._index.train(base)
        self._index.add(base)
        faiss.omp_set_num_threads(1)

    def set_effort(self, effort: int) -> None:
        if "ef_construction" in self._setting:
            self._index.hnsw.efSearch = effort
        else:
            self._faiss.extract_index_ivf(self._index).nprobe = effort
            # Codes grow with the dimension, and the longer they are, the fewer candidates need exact distances.
            self._index.k_factor = max(K_FACTOR_LEAST, self._setting["refine"] // self._index.d)

    def search(self, queries: Matrix, k: int) -> Labels:
        found: Labels = self._index.search(queries, k)[1].astype("int64")
        return found

    def search_one(self, query: Matrix, k: int) -> Labels:
        found: Labels = self._index.search(query.reshape(1, -1), k)[1][0].astype("int64")
        return found


HNSW = EngineSpec(
    name="faiss-hnsw",
    make=Faiss,
    distributions=("faiss-cpu",),
    settings={
        "m16-ef200": {"factory": "HNSW16,Flat", "ef_construction": 200},
        "m32-ef200": {"factory": "HNSW32,Flat", "ef_construction": 200},
    },
    efforts=HNSW_EFFORTS,
    tuning="M 16 and 32 (32 is its default), efConstruction raised from 40 to 200; cosine as l2 of unit vectors.",
)

HNSW_SQ8 = EngineSpec(
    name="faiss-hnsw-sq8",
    make=Faiss,
    distributions=("faiss-cpu",),
    settings={
        "m16-ef200": {"factory": "HNSW16,SQ8", "ef_construction": 200},
        "m32-ef200": {"factory": "HNSW32,SQ8", "ef_construction": 200},
    },
    efforts=HNSW_EFFORTS,
    tuning="As faiss-hnsw, with its 8-bit scalar quantiser.",
)

IVF_PQ = EngineSpec(
    name="faiss-ivf-pq",
    make=Faiss,
    distributions=("faiss-cpu",),
    settings={
        "ivf1024-r3072": {"factory": "IVF1024,PQ{codes}x4fs,RFlat", "refine": 3_072},
        "ivf4096-r6144": {"factory": "IVF4096,PQ{codes}x4fs,RFlat", "refine": 6_144},
    },
    efforts=(1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512),
    tuning="Fast-scan 4-bit codes of two components and exact refinement, as its wiki advises for speed in memory; "
    "the lists are 4 to 16 times the root of 100,000 to a million rows, and refine / dimension "
    "times k are refined, which is where more of it stopped to raise recall.",
)
