"""The limits and times of the services that nothing outside this package has a use for, each with where it comes from.

What a server is configured with, and what clients and the wire share, is in `vecdb.config`.
"""

from __future__ import annotations

from typing import Final

REQUEST_ID_WINDOW_S: Final = 600.0
"""How long the answer to a write is kept for repetitions: longer than any client goes on retrying."""

REQUEST_IDS_MAX: Final = 65_536
"""Answers kept over all principals, at about 500 bytes each."""

REQUEST_IDS_PRINCIPAL_MAX: Final = 16_384
"""Answers kept for one principal: nobody drives out those of all others."""

REQUEST_ID_CHARS_MAX: Final = 64

PAGE_ROWS_DEFAULT: Final = 100
PAGE_COLLECTIONS_MAX: Final = 1_000

PAGE_BYTES_TARGET: Final = 4 * 1024 * 1024
"""Size that messages of records are kept near by holding fewer records: a client takes 4 MiB unless told otherwise."""

PAGE_TOKEN_CHARS_MAX: Final = 4_096
"""Longest page token looked at; those made here hold an id, a keyword and a digest, 1 KiB at most."""

INGEST_BATCHES_MAX: Final = 8
"""Batches of an ingest stream that may be unanswered; as many may share one commit."""

INGEST_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of batches of an ingest stream that may be unanswered: one message of the largest default size."""

HITS_DEFAULT: Final = 10
"""The engine's own `limit` where a request has none."""

SEARCHES_AHEAD_MAX: Final = 2
"""Batches of a search stream received while one is searched: the next is there when its turn comes."""

INGEST_GROUP_MAX: Final = 4
"""Batches of a stream stored in one commit: half of the window, so that the others arrive meanwhile."""

LONG_OPERATIONS_MAX: Final = 16
"""Optimizations, waits and index builds asked for by clients at once; they mostly wait for one another."""

LONG_OPERATIONS_PRINCIPAL_MAX: Final = 12
"""Of these, what one principal may have: a quarter is left to the others."""

STREAM_POLL_S: Final = 0.05
"""How often a stream that waits for its client looks whether the server drains."""

PROGRESS_INTERVAL_S: Final = 0.25
"""How often a long operation tells how far it is."""

LAST_ANSWERS_S: Final = 0.25
"""How long a server that stops lets answers of ended calls go out; only streams that wait for clients make it wait."""

SIGNAL_WAIT_S: Final = 0.5
"""How late a server may notice a signal that another thread than the waiting one was given."""

LOG_LINES_MAX: Final = 20_000
"""Lines of the log that may wait to be written, at about half a kilobyte each."""

LOG_WRITES_PER_S: Final = 50
"""How often lines are written while there are some: what a line costs is mostly the write."""

LOG_CLOSE_S: Final = 2.0
"""How long the end of a server waits for a log that is not read."""

STATUSES_KEPT_MAX: Final = 64
"""Statuses of refusals that are kept: the reasons have few numbers in them."""

KNOWN_SEARCHES_MAX: Final = 256
"""Searches that a server answers again without parsing: clients use a few, over and over."""

KNOWN_BODY_BYTES_MAX: Final = 64 * 1024
"""The longest request that is known again, its vector included."""

KNOWN_BATCH_BYTES_MAX: Final = 1024 * 1024
"""The longest batch that is: what is saved is a few tenths of a millisecond, and a longer one takes twenty."""

KNOWN_SEARCH_BYTES_MAX: Final = 4_096
"""The longest of them but for its vectors: a megabyte at most for all searches, and one for all batches."""

KNOWN_PLACES_MAX: Final = 8
"""Places of the vector that are tried for one length of requests; there is one for all requests of one program."""

AT_ONCE_S: Final = 0.0002
"""How long a search may typically take to be made by the thread that serves all connections. Up to there a thread of
its own costs more than it gains, even if there is a CPU for it."""

AT_ONCE_SAMPLES: Final = 64
"""Over how many of the last searches that is an average, roughly."""

AT_ONCE_MOST_S: Final = 0.005
"""What one of them counts for at most: so it takes two that wait for the disk, and not one that was held up."""

AT_ONCE_PAUSE_S: Final = 1.0
"""How long threads make all searches once they typically take longer: a few slow ones a second hold little up."""

REPLY_FORMS_MAX: Final = 32
"""Numbers of queries and hits for which what is the same in all their replies is kept, 64 kilobytes each at most."""

LENGTHS_KEPT_MAX: Final = 4_096
"""Lengths of ids, metadata and replies that are kept as they are written; those of ten hits have a few hundred."""

DENIED_LINES_PER_S: Final = 10
"""Lines of the access log for calls without a valid key, so that a flood of them does not fill a disk."""

KEY_SECRET_BYTES: Final = 32
"""Random bytes of an API key: 256 bits, so that one SHA-256 of it is as good as a slow hash of a password."""

KEY_FILE_BYTES_MAX: Final = 4 * 1024 * 1024
KEY_NAME_CHARS_MAX: Final = 64

LATENCY_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Steps of the histograms of call times: from an empty call to one that a client has given up."""

BODY_WATCH_S: Final = 1.0
"""How often calls are looked through for bodies that do not arrive."""
