"""Holds every limit and every default of vecdb, as named constants with their provenance.

Promises: no other module contains a literal limit. Names end in their unit or qualifier (`_max`, `_bytes`, `_s`).
Invariants: constants are final; nothing here reads the environment except through `EngineConfig` in the caller's hands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FORMAT_VERSION: Final = 1
"""On-disk format this code writes and the newest it reads."""

# --- limits on what a caller may hand in (anchors: reliability matrix S9) -------------------------------------------

NAME_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""Collection and field names. Names are looked up, never used as paths."""

DIM_MAX: Final = 8192
"""Largest dimension of a field. int32 sums of squared int8 differences stay exact up to here."""

VECTOR_ABS_MAX: Final = 1e17
"""Largest |component| for dot and l2: (2e17)^2 * 8192 still fits float32, so no distance overflows."""

ID_BYTES_MAX: Final = 256
"""Longest str id in UTF-8; LMDB keys end at 511 bytes."""

INT_ID_MAX: Final = 2**64 - 1

METADATA_BYTES_MAX: Final = 64 * 1024
"""Largest encoded metadata of one record."""

METADATA_DEPTH_MAX: Final = 16
"""Deepest nesting of lists and dicts in metadata."""

LIMIT_MAX: Final = 10_000
"""Largest `limit` of a search or a scroll page."""

EF_MAX: Final = 20_000
"""Largest `ef`: the candidate pool is a sorted array, which this keeps in the L2 cache."""

BATCH_RECORDS_MAX: Final = 50_000
"""Most records in one write. One write is one transaction; larger ones would hold up other writers."""

BATCH_BYTES_MAX: Final = 512 * 1024 * 1024
"""Most vector bytes in one write: LMDB keeps the dirty pages of a transaction in memory."""

SEARCH_BATCH_MAX: Final = 100_000
"""Most queries in one search_batch."""

COLLECTIONS_MAX: Final = 1_000
FIELDS_MAX: Final = 16
SLOTS_MAX: Final = 2**31 - 2
"""Most record versions of a collection: graph links are int32 rows, -1 means none."""

# --- storage -------------------------------------------------------------------------------------------------------

MAP_BYTES_DEFAULT: Final = 1 << 40
"""Address space reserved for the map. It is sparse: 1 TiB cost 8 KiB of disk where it was measured."""

READERS_MAX: Final = 1_022
"""LMDB reader-table slots: one per live snapshot over all processes."""

CHUNK_BYTES_TARGET: Final = 1 << 20
"""Chunk values hold the largest power of two of rows that fits here (at least one row)."""

INDEX_COMMIT_BYTES: Final = 8 * 1024 * 1024
"""Most index bytes in one transaction, so that a user's commit never waits for long."""

LOG_ENTRIES_KEPT: Final = 4_096
"""Commits a reader may lag behind before it reloads its state whole instead of following the log."""

ASYNC_SYNC_INTERVAL_S: Final = 0.5
"""durability="async": the longest time between a commit and its sync."""

READER_CHECK_INTERVAL_S: Final = 30.0
"""How often the writer frees reader slots of dead processes, which would pin pages for ever."""

FOLLOW_INTERVAL_S: Final = 0.05
"""How often an idle reader process follows the writer, so that it does not pin old pages."""

# --- index ---------------------------------------------------------------------------------------------------------

M_DEFAULT: Final = 16
M_MIN: Final = 4
M_MAX: Final = 64
EF_CONSTRUCTION_DEFAULT: Final = 200
EF_CONSTRUCTION_MAX: Final = 4_000

TARGET_RECALL_DEFAULT: Final = 0.98
"""Recall@limit aimed at when a search names neither ef nor target_recall."""

TAIL_ROWS_INDEX: Final = 4_096
"""Tail rows at which the background indexer seals a segment; scanning more costs over about 0.5 ms a query."""

TAIL_ROWS_KEEP: Final = 1_024
"""`wait_indexed` leaves a collection of fewer rows in the tail: scanning it beats any graph."""

SEGMENTS_MAX: Final = 4
"""Segments per field beyond which the indexer merges."""

MERGE_RATIO: Final = 0.25
"""A segment is merged into its elder when it has at least this share of the elder's rows."""

DEAD_RATIO_REBUILD: Final = 0.5
"""Share of dead rows above which a merge builds a graph afresh instead of repairing it."""

DEAD_RATIO_COMPACT: Final = 0.2
"""Share of dead rows at which the indexer rewrites a segment in the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What `vecdb.open` may be told beyond path, mode and durability.

    `threads` is the number of threads for builds and batches; 0 means all cores this process may use.
    `progress` prints one line to stderr while kernels compile on the first start.
    """

    map_bytes: int = MAP_BYTES_DEFAULT
    threads: int = 0
    background: bool = True
    progress: bool = True
    tail_rows_index: int = TAIL_ROWS_INDEX
    scrub: bool = True

    def __post_init__(self) -> None:
        if self.map_bytes < 1 << 20:
            raise ValueError(f"map_bytes is {self.map_bytes}; reserve at least 1 MiB")
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; use 0 for all cores")
        if self.tail_rows_index < 1:
            raise ValueError(f"tail_rows_index is {self.tail_rows_index}; it counts rows and starts at 1")
