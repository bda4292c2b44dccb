"""What VectorDBBench stores and shows of a run: where the database is, how it is built and searched."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from vectordb_bench.backend.clients.api import (  # type: ignore[import-not-found]
    DBCaseConfig,
    DBConfig,
    IndexType,
    MetricType,
)

METRICS = {MetricType.COSINE: "cosine", MetricType.L2: "l2", MetricType.IP: "dot", MetricType.DP: "dot"}


class VecDBConfig(DBConfig):  # type: ignore[misc]  # without VectorDBBench the class is Any
    """The directory of the database."""

    path: str

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path}


class VecDBCaseConfig(BaseModel, DBCaseConfig):  # type: ignore[misc]  # as above
    """HNSW's parameters, and the effort of a search: `ef`, or else `target_recall` (vecdb's default when neither)."""

    metric_type: MetricType | None = None
    index: IndexType = IndexType.HNSW
    m: int = 16
    ef_construction: int = 200
    ef: int | None = None
    target_recall: float | None = None

    def index_param(self) -> dict[str, Any]:
        metric = METRICS[self.metric_type or MetricType.COSINE]
        return {"metric": metric, "m": self.m, "ef_construction": self.ef_construction}

    def search_param(self) -> dict[str, Any]:
        if self.ef is not None:
            return {"ef": self.ef}
        return {} if self.target_recall is None else {"target_recall": self.target_recall}
