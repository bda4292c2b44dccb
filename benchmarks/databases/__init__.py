"""Lists the databases that the suites `db` and `filtered` measure. Importing it imports none of them."""

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
    vecdb_database.SPEC_TARGET,
    vecdb_database.SPEC_EXACT,
)
DATABASES: Final[dict[str, DatabaseSpec]] = {spec.name: spec for spec in SPECS}
"""Every database by name, in the order of reports."""

STORES: Final[dict[str, DatabaseSpec]] = {name: spec for name, spec in DATABASES.items() if not spec.stored_by}
"""Those that are more than another way to search what one of them has stored."""
