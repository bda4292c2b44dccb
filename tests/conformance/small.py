"""The configuration of the suite's databases."""

from __future__ import annotations

from vecdb.config import EngineConfig

SMALL = EngineConfig(tail_rows_index=128, threads=2, progress=False, map_bytes=1 << 32, index_loads=True)
"""Small enough that a few hundred rows make segments, merges and tombstones."""
