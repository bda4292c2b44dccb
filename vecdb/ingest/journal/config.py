"""Every limit and default of journals and of the cache of embeddings, with the reason for its value."""

from __future__ import annotations

from typing import Final

CACHE_BYTES_DEFAULT: Final = 4 << 30
"""On the disk: 4 million vectors of 256 components, or 650,000 of 1,536, which cost some ten dollars to buy again."""

CACHE_BYTES_MIN: Final = 1 << 20

BUNDLE_BYTES_MAX: Final = 64 * 1024
"""Vectors of one call are stored together up to this size: less waste at the ends of pages, and runs that still fit."""

EVICTED_ROWS_MIN: Final = 512
EVICTED_RATIO_MAX: Final = 4
"""A call that stores n rows removes at most this many times n, and no fewer than EVICTED_ROWS_MIN if it has to: a cache
that was made smaller gets there by and by, and nobody waits for it."""

TOUCH_FILL_MIN: Final = 0.5
"""A cache less full than this will not evict soon: what is used is not moved."""

TOUCH_OLDEST_SHARE: Final = 0.25
"""Rows used while they are among the oldest quarter are stored again with the newest: a row moves once in a round."""

TOUCHED_ROWS_MAX: Final = 1_024
"""Rows that wait to be moved; they are written when there are so many, with the next rows, or at the end."""

PART_KEY_BYTES_MAX: Final = 400
"""Of a part's key, kept as it is; LMDB keys end at 511 bytes, and longer ones get a hash in place of their end."""

PART_HASH_BYTES: Final = 16

READER_CHECK_PUTS: Final = 256
"""Calls after which readers that were killed are looked for: until then they keep pages from being used again."""

RUNS_KEPT_MAX: Final = 100
"""Runs in the history: with one every quarter of an hour, a day."""

MESSAGE_CHARS_MAX: Final = 1_000
"""Of the message and the position of a failure."""

VANISHED_BATCH: Final = 512
"""Items told of at a time, and settled at a time after a crash."""

SCANNED_AT_ONCE: Final = 512
"""Items listed in one read transaction."""

SCAN_ITEMS_MAX: Final = 50_000
"""Entries looked at in one read transaction: about 50 ms, for which the writer cannot use pages again."""

OPEN_TRIES_MAX: Final = 5
OPEN_RETRY_S: Final = 0.02
"""`status` holds the lock for some microseconds to see whether anybody else does; the writer then tries again."""

MARKS_BLOCK: Final = 65_536
"""Numbers in a block of marks: 8 KB, which is what the first of them costs."""
