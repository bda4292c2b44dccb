"""Every limit and default of re-embedding, with the reason for its value."""

from __future__ import annotations

from typing import Final

TEXT_FIELD_DEFAULT: Final = "text"
"""Where the ingestor keeps the text of a record, in its metadata."""

COMPARE_K_DEFAULT: Final = 10
COMPARE_QUERIES_DEFAULT: Final = 200
"""Stored records that ask where no file of queries is given: the mean overlap is then known to about 0.02."""

COMPARE_QUERIES_MAX: Final = 100_000
"""Queries of one file: each costs an exact search under both models."""

COMPARE_BATCH: Final = 64
"""Queries of one exact search: a second or so over a million records, well within the deadline of a call."""

QUERY_CHARS_MAX: Final = 32_768
"""A longer line of a file of queries is no query."""

EXAMPLES_SHOWN: Final = 5
"""Queries shown whose hits differ most: what a person looks at before switching."""

HITS_SHOWN: Final = 3
TEXT_CHARS_SHOWN: Final = 72
"""First hits of such a query, and how much of their texts."""

PAGE_RECORDS: Final = 1_024
"""Records that are read at a time, and the most that are written in one commit: a few MiB of vectors."""

BATCH_RECORDS_MIN: Final = 64
"""Fewest that are written in one commit, for models that embed fewer at once: a sync for each text would be slow."""

BATCHES_AHEAD: Final = 2
"""Batches that are embedded while the one before is written: enough to keep a model busy."""

SWITCH_ROUNDS_MAX: Final = 1_000
"""Attempts to be level at the moment of the switch. A round without news takes milliseconds, so only writers that
leave no such pause keep a switch off, and they are told of after seconds rather than minutes."""

LEVEL_ROUNDS_MAX: Final = 100
"""Rounds in which records written meanwhile are caught up with, before it is said that writers are faster."""

FOLLOW_PAUSE_S: Final = 1.0
"""How often `--follow` looks for records that were written."""
