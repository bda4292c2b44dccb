"""Limits of the engine alone, with the reason for each; those that users meet are in `vecdb.config`."""

from __future__ import annotations

from typing import Final

PREPARED_LIMIT_MAX: Final = 256
"""Largest `limit` whose searches are kept prepared: room for hits and ids, up to 30 kB for each and thread."""

PREPARED_MAX: Final = 32
"""Searches kept prepared for one collection, and for each remembered filter; more of them, and all are made anew."""

LOAD_ROWS_PER_S: Final = 2_000
"""Vectors a second from which on a load is under way: about what one core indexes. Below it the index keeps up with
what comes; above it, it would only take the processor from the load and build small segments to be merged at once."""

LOAD_WINDOW_S: Final = 1.0
"""Time over which vectors are counted."""

LOAD_PAUSE_S: Final = 4.0
"""How long it must be quiet before what a load left is indexed: a loader that was killed is back by then."""

LOAD_TAIL_BYTES: Final = 128 * 1024 * 1024
"""Vectors of a tail that wait for the end of a load; beyond, they are indexed beside it. Scanning them takes 10 to
15 ms, and without waiting the tail of a fast load grows as large, since indexing is slower than writing."""

PROGRESS_INTERVAL_S: Final = 0.2
"""How often a caller that waits for a job of the background is told how far it is."""

NAMED_QUERIES: Final = 64
"""Queries of a batch whose ids are copied by one call of a kernel, and read together."""

REMEMBERED_BYTES: Final = 4_096
"""What a remembered filter takes beside its bitmap, about: the rows it matches, and a search that is prepared."""

GATHER_AFTER: Final = 16
"""Scans after which their rows' sketches are copied: so many pay for it. To copy a row takes 25 to 60 ns, and 2.5 to
3.5 are saved in each scan."""

COPIES_BYTES: Final = 64 * 1024 * 1024
"""Copies, and lists of matches of 4 bytes each, for all remembered filters of a collection: at most 900,000 rows of 384
components, 72 bytes each."""

VAIN_WALKS: Final = 8
"""Walks that end far from all matches, one after the other, before only every eighth search is walked and the others
are scans at once: who asks from afar mostly does so again, and a walk in vain takes up to 15 us of 140."""

LEAN_TRIALS: Final = 32
"""Searches far from all matches whose hits are compared with those of a lean walk before it is trusted, or given up:
with limit 10 the share of hits it finds is known to .01 or .015."""

LATE_HITS_MAX: Final = 65_536
"""Hits of a batch whose ids are copied by one call of a kernel to be passed on: more would take room for megabytes, and
milliseconds in which nobody can stop it."""

LATE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Records of a batch's hits that are copied to be passed on, one found by several queries each time: beyond that such
records are kept once until they are sent."""

KEPT_QUERIES_MAX: Final = 1_000
"""Queries kept with a field that was calibrated: recall .9 is then known to .007 (where a query's hits are found
together or not at all, .01), and measuring a segment of 100,000 rows with them takes some seconds of a core."""

KEPT_QUERIES_MIN: Final = 50
"""Fewest queries to calibrate with: they tell recall .9 to .03."""
