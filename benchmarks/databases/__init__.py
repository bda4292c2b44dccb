"""Lists the databases that the `db` suite measures. Importing it imports none of them."""

from __future__ import annotations

from typing import Final

from benchmarks.databases import (
    chroma_collection,
    lancedb_table,
    milvus_lite_file,
    qdrant_edge_shard,
    sqlite_vec_table,
    vecdb_database,
    zvec_collection,
)
from benchmarks.databases.protocol import DatabaseSpec

SPECS: Final = (
    vecdb_database.SPEC,
    qdrant_edge_shard.SPEC,
    qdrant_edge_shard.SPEC_INT8,
    zvec_collection.SPEC,
    zvec_collection.SPEC_INT8,
    lancedb_table.SPEC,
    chroma_collection.SPEC,
    milvus_lite_file.SPEC,
    sqlite_vec_table.SPEC,
)
DATABASES: Final[dict[str, DatabaseSpec]] = {spec.name: spec for spec in SPECS}
"""Every database by name, in the order of reports."""
