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
