"""The limits of the index that nothing outside this package has a use for, each with where it comes from."""

from __future__ import annotations

from typing import Final

ROOMS_MAX: Final = 32
"""Rooms that a thread keeps."""

FURTHER_ROWS_MIN: Final = 8_192
"""In segments of so many rows the chosen curve is measured with further queries: it takes 5 % of the time to build."""

BATCH_QUERIES_MAX: Final = 256
"""Most queries of a batch that a worker takes at a time, and what one without others takes: some milliseconds, in which
nothing else is noticed."""

RANKED_MATCHES_MAX: Final = 1_024
"""Most candidates that a scan of matches keeps for this reason: they are put in their places one by one."""
