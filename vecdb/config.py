"""Holds every limit and every default of vecdb, as named constants with their provenance.

Promises: no other module contains a literal limit. Names end in their unit or qualifier (`_max`, `_bytes`, `_s`).
Invariants: constants are final; nothing here reads the environment except through `EngineConfig` in the caller's hands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vecdb.errors import InvalidRequestError

FORMAT_VERSION: Final = 3
"""On-disk format that this code writes and reads. Formats 1 and 2 were those of versions before the first release."""

# --- limits on what a caller may hand in (anchors: reliability matrix S9) -------------------------------------------

NAME_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""Collection and field names. Names are looked up, never used as paths."""

DIM_MAX: Final = 8192
"""Largest dimension of a field. int32 sums of squared int8 differences stay exact up to here."""

PACKED_DIM_MIN: Final = 32
"""Fewest dimensions of packed rows: below, the signs of a residual say too little, and rows are small anyway."""

PACKED_DIM_AUTO: Final = 96
"""Fewest dimensions that are packed unasked: at 96 rows of intrinsic dimension 12 are searched 1.2 times as fast, at 64
at the same speed, at 32 at .8 of it (30,000 rows, recall .95 and .98)."""

SIGN_BLOCK: Final = 32
"""Neighbours whose signs lie together in a packed row."""

VECTOR_ABS_MAX: Final = 1e17
"""Largest |component| for dot and l2: (2e17)^2 * 8192 still fits float32, so no distance overflows."""

COSINE_NORM_MIN: Final = 1e-18
"""Shortest vector under cosine: its inverse length and its float32 products are still normal numbers."""

ID_BYTES_MAX: Final = 256
"""Longest str id in UTF-8; LMDB keys end at 511 bytes."""

INT_ID_MAX: Final = 2**64 - 1

METADATA_BYTES_MAX: Final = 64 * 1024
"""Largest encoded metadata of one record."""

METADATA_DEPTH_MAX: Final = 16
"""Deepest nesting of lists and dicts in metadata."""

TTL_FIELD_BYTES_MAX: Final = 256
"""Longest path of a ttl_field in UTF-8. It is stored once per collection; its parts count as nesting of metadata."""

LIMIT_MAX: Final = 10_000
"""Largest `limit` of a search or a scroll page."""

EF_MAX: Final = 20_000
"""Largest `ef`: the candidate pool is a sorted array, which this keeps in the L2 cache."""

BATCH_RECORDS_MAX: Final = 500_000
"""Most records in one write. One write is one transaction; larger ones would hold up other writers."""

BATCH_BYTES_MAX: Final = 512 * 1024 * 1024
"""Most vector bytes in one write: LMDB keeps the dirty pages of a transaction in memory."""

SEARCH_BATCH_MAX: Final = 100_000
"""Most queries in one search_batch."""

COLLECTIONS_MAX: Final = 1_000
FIELDS_MAX: Final = 16
FOLLOWS_MAX: Final = 8
SLOTS_MAX: Final = 2**31 - 2
"""Most record versions of a collection: graph links are int32 rows, -1 means none."""

INDEXES_MAX: Final = 64
"""Most metadata indexes of a collection: each is kept with every write."""

FACET_VALUES_MAX: Final = 10_000
"""Most values that a facet returns."""

FILTER_DEPTH_MAX: Final = 32
"""Deepest nesting of a filter."""

FILTER_NODES_MAX: Final = 1_000
"""Most conditions and connectives of a filter."""

FILTER_VALUES_MAX: Final = 100_000
"""Most values that a filter compares with, over all its conditions."""

FILTER_TEXT_BYTES_MAX: Final = 4_096
"""Longest str in a filter, in UTF-8."""

FILTER_PATH_BYTES_MAX: Final = 512
"""Longest path into metadata."""

# --- filters and metadata indexes -----------------------------------------------------------------------------------

BLOCK_SLOTS: Final = 2_048
"""Slots of a block of a metadata index: one page of small values, or five of floats, rewritten by each commit that
touches it."""

EXPIRY_INDEX: Final = 0xFFFF
"""Number of the column that says when records expire, beyond those of indexes."""

EXPIRY_SWEEP_S: Final = 5.0
"""How often records that have expired are removed; reads leave them out at once."""

EXPIRY_SWEEP_RECORDS: Final = 1_000
"""Expired records removed in one commit."""

TERM_BYTES_MAX: Final = 256
"""Longest str in UTF-8 that a keyword or text index holds; of longer ones filters look at the record. LMDB keys end at
511 bytes."""

INDEX_BUILD_BLOCKS: Final = 4
"""Blocks of an index built in one commit: 8,192 records, about 20 ms in which other writers wait."""

FILTER_CACHE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Matches of filters that a View remembers, a bit for each record version: 62 filters at a million records."""

SCAN_RECORDS: Final = 1_000
"""Records read at a time to look at a condition that no index answers; between, other threads may read."""

FILTER_INT_BITS_MAX: Final = 128
"""Longest int in a filter: records hold 64 bits, and comparing longer ones costs time that grows with their length."""

SCALAR_DIGITS_MAX: Final = 40
"""Longest int in decimal on the wire, sign included: 128 bits have 39 digits."""

FILTER_POLYGON_POINTS_MIN: Final = 3

FILTER_PASSES_MAX: Final = 8
"""Values looked for by one pass over a column each; more are looked up in a sorted array, in one pass."""

RECORD_LOOKUPS_MAX: Final = 64
"""Records looked up together past LMDB; what overlaps are waits for memory, and a core keeps a few dozen at a time."""

RECORD_BUFFER_BYTES: Final = 256 * 1024
"""Id keys and metadata that one such look-up may copy: 64 records of 4 kB."""

# --- storage -------------------------------------------------------------------------------------------------------

MAP_BYTES_DEFAULT: Final = 1 << 40
"""Address space reserved for the map. It is sparse: 1 TiB cost 8 KiB of disk where it was measured."""

MAP_BYTES_MIN: Final = 64 * 1024 * 1024
"""Smallest map tried under a limited address space (ulimit -v): the reservation is halved, not below twice the file."""

READERS_MAX: Final = 1_022
"""LMDB reader-table slots: one per live snapshot over all processes."""

LMDB_OPEN_ATTEMPTS_MAX: Final = 8
"""Opening LMDB while another process opens or closes it can fail for an instant: tries until it is an error."""

LMDB_OPEN_RETRY_S: Final = 0.02

META_RETRY_S: Final = 0.002
"""Pause before meta pages that do not fit together are read again: longer than a commit takes to write one."""

FORK_CLOSE_TIMEOUT_S: Final = 2.0
"""How long a forked child waits to give up an inherited map before it opens the file again."""

CREATE_ATTEMPTS_MAX: Final = 5
"""A creation is tried again when a sweeper took its temporary directory in the instant before it was locked."""

MEMORY_DISK_BYTES_MIN: Final = 1 << 30
"""":memory:" uses /dev/shm when this much is free there (containers often get 64 MiB), else the temporary directory."""

FULL_DISK_SLACK_BYTES: Final = 1 << 20
"""A failed write counts as a full disk when less than its own size and this much is free."""

OPEN_WALK_PAGES_MAX: Final = 1_024
"""B-tree pages checked while opening, over all tables; at about 10 µs a page this takes 10 ms at most."""

CHUNK_BYTES_TARGET: Final = 9 << 18
"""Chunk values hold the largest power of two of rows that fits here (at least one row). Each takes a page more than its
rows: so 1,024 packed rows of 384 components fit, and 1,024 original vectors."""

INDEX_COMMIT_BYTES: Final = 8 * 1024 * 1024
"""Most index bytes in one transaction, so that a user's commit never waits for long."""

SCRUB_INTERVAL_S: Final = 10.0
SCRUB_BYTES: Final = 16 * 1024 * 1024
"""Chunk bytes checked per interval in the background: about 15 ms of work, a pass over 10 GB in under two hours."""

PROBLEMS_MAX: Final = 100
"""Problems listed by verify and by the scrub; a file damaged beyond that needs a backup, not a longer list."""

GROUP_OPERATIONS_MAX: Final = 256
"""Most operations in one commit, so that the first of a burst does not wait for all of it."""

LOG_ENTRIES_KEPT: Final = 4_096
"""Commits a reader may lag behind before it reloads its state whole instead of following the log."""

ASYNC_SYNC_INTERVAL_S: Final = 0.5
"""durability="async": the longest time between a commit and its sync."""

READER_CHECK_INTERVAL_S: Final = 30.0
"""How often the writer frees reader slots of dead processes, which would pin pages for ever."""

PREFAULT_BYTES_MAX: Final = 1 << 30
"""Index bytes mapped ahead when a database is opened; beyond, searches map what they touch."""

FOLLOW_INTERVAL_S: Final = 0.05
"""How often an idle reader process follows the writer, so that it does not pin old pages."""

FOLLOW_WAIT_S: Final = 0.15
"""How long the writer waits for readers to follow before it writes where a removed segment lay: a few intervals."""

SEQ_MAX: Final = 2**63 - 1

MIN_SEQ_WAIT_S: Final = 10.0
"""Longest wait of a read with min_seq= for the writer to get there."""

TAIL_CHUNK_ROWS: Final = 1_024
"""Rows per in-memory chunk of the tail; a power of two."""

DEAD_BLOCK_SLOTS: Final = 8_192
"""Slots per stored tombstone bitmap: 1 KiB fits inline in an LMDB page, so a delete dirties one page."""

# --- index ---------------------------------------------------------------------------------------------------------

M_DEFAULT: Final = 16
M_MIN: Final = 4
M_MAX: Final = 64
EF_CONSTRUCTION_DEFAULT: Final = 200
ID_COLUMN_BYTES_MAX: Final = 61
"""Longest id key kept in a segment's id column: a row then fits one cache line. UUIDs take 17 bytes, ints 9."""

ITERATE_PAGE_ROWS: Final = 1_000
"""Records `iterate` reads at a time; between pages no snapshot is held."""

EF_CONSTRUCTION_MAX: Final = 4_000

TARGET_RECALL_DEFAULT: Final = 0.98
"""Recall@limit aimed at when a search names neither ef nor target_recall."""

TAIL_ROWS_INDEX: Final = 4_096
"""Tail rows at which the background indexer seals a segment; scanning more costs over about 0.5 ms a query."""

TAIL_ROWS_KEEP: Final = 1_024
"""`wait_indexed` leaves a collection of fewer rows in the tail: scanning it beats any graph."""

TAIL_ROWS_SETTLE: Final = 256
"""`wait_indexed` leaves fewer rows than this in the tail of a field that has segments: 10 to 20 µs a query."""

INDEX_RETRY_S: Final = 5.0
"""Pause of the background indexer after a storage error, e.g. a full disk."""

INDEX_RETRY_LONG_S: Final = 600.0
"""Longest pause of the background indexer for a field whose segments are damaged; each attempt reads them whole."""

SEGMENTS_MAX: Final = 4
"""Segments per field beyond which the indexer merges."""

MERGE_RATIO: Final = 0.25
"""A segment is merged into its elder when it has at least this share of the elder's rows."""

SATURATION_REFIT: Final = 0.005
"""Share of saturated codes among new rows above which a merge fits the scale afresh (2e-4 right after a fit)."""

DEAD_RATIO_REBUILD: Final = 0.5
"""Share of dead rows above which a merge builds a graph afresh instead of repairing it."""

DEAD_RATIO_COMPACT: Final = 0.2
"""Share of dead rows at which the indexer rewrites a segment in the background."""

HNSWLIB_M_MAX: Final = 10_000
"""hnswlib caps its M here, so a file with a larger one was not written by it."""

HNSWLIB_LEVEL_MAX: Final = 64
"""Levels of an hnswlib row: -ln(2^-53) / ln(2), the rarest draw of a double with M = 2, is 53."""

HNSWLIB_BLOCK_BYTES: Final = 16 * 1024 * 1024
"""Bytes of an hnswlib file taken apart or put together at a time: bounds the memory beside the result."""

HNSWLIB_BUILD_ROWS: Final = 1_024
"""Rows handed to hnswlib's builder between two looks at cancellation: about a second at 384 dimensions."""


PROBLEMS_REPORTED_MAX: Final = 20
"""Problems a graph check lists; one is enough to rebuild, twenty show the pattern."""

FIT_ROWS_MAX: Final = 20_000
"""Rows sampled evenly to fit the scale of the codes; more did not move the quantile."""

QUERY_CODE_MAX: Final = 4_096
"""Query codes are clipped here even where int32 would allow more: farther out, the order of rows hardly changes."""

BATCH_ROWS_MIN: Final = 64
"""Rows a build inserts at once even where 2 % of all rows are fewer: smaller batches cost more calls than they gain."""

UPPER_LEVELS_MAX: Final = 15
"""Levels above the first; m^15 rows would be needed to miss a sixteenth."""

CURVE_SAMPLE_DEFAULT: Final = 200
"""Rows used as queries to measure a segment's recall curve: +-1.4 % at recall .95."""


# --- the server (issue of the service; anchors: reliability §4) ------------------------------------------------------

LISTEN_DEFAULT: Final = "127.0.0.1:50051"
"""Only this machine may connect unless somebody decides otherwise. 50051 is the port that gRPC's own examples use."""

PORT_MAX: Final = 65_535

UNIX_PATH_BYTES_MAX: Final = 107
"""Longest path of a Unix-domain socket: a sockaddr_un on Linux has 108 bytes, one of them the closing zero."""

SETTING_CHARS_MAX: Final = 30
"""Longest number of a setting that is read at all; the largest has 13 digits."""

WORKERS_MAX: Final = 64
"""Most reader processes of a server: each takes some of the reader slots that LMDB has for all (READERS_MAX)."""

SERVER_THREADS_DEFAULT: Final = 16
"""Single-reply calls worked on at once. Measured: 3.4k empty calls/s with 16, 3.2k with 4; more wait for one lock."""

THREADS_MAX: Final = 512

READS_PER_CPU: Final = 2
"""Reads worked on at once for each CPU. Measured on one CPU at ten times what it can answer: with 2, 99 of 100 refusals
are answered within 33 ms; with 4 within 0.6 s, with 16 within 5 s, as the thread that refuses needs a CPU as well."""

CONCURRENT_RPCS_DEFAULT: Final = 64
"""Single-reply calls running or waiting: at 0.3 ms each the last in the queue waits about 20 ms."""

STREAMS_DEFAULT: Final = 64
"""Streams open at once: each has a thread of its own, which mostly waits."""

PRINCIPAL_RPCS_DEFAULT: Final = 48
"""Calls of one principal running or waiting: three quarters, so that one never shuts out all others."""

PRINCIPAL_STREAMS_DEFAULT: Final = 48
"""Streams of one principal open at once: three quarters, as for calls."""

BODY_TIMEOUT_S: Final = 60.0
"""How long the one message of a call may take to arrive: 32 MiB at half a megabyte a second."""

RPCS_MAX: Final = 10_000

IN_FLIGHT_BYTES_DEFAULT: Final = 256 * 1024 * 1024
"""Bytes of request bodies held at once: the memory that a server may grow by under overload."""

IN_FLIGHT_BYTES_MAX: Final = 1 << 40

MESSAGE_BYTES_DEFAULT: Final = 32 * 1024 * 1024
"""Largest message, after decompression: 20,000 vectors of 384 float32."""

MESSAGE_BYTES_MAX: Final = 512 * 1024 * 1024

MESSAGE_BYTES_MIN: Final = 64 * 1024

METADATA_BYTES_DEFAULT: Final = 8 * 1024
"""Most bytes of call metadata (HTTP/2 headers); beyond twice as many the connection's headers are refused unread."""

METADATA_HEADER_BYTES_MAX: Final = 64 * 1024

CONNECTION_RPCS_DEFAULT: Final = 128
"""Calls at once on one connection; HTTP/2 lets the client wait for the rest."""

HANDSHAKE_TIMEOUT_S: Final = 10.0
"""gRPC would wait 120 s for a connection that says nothing."""

CONNECTION_IDLE_S: Final = 300.0
CONNECTION_AGE_S: Final = 1_800.0
"""Connections are renewed after this long, so that clients spread over new servers and new certificates count."""

KEEPALIVE_S: Final = 60.0
KEEPALIVE_TIMEOUT_S: Final = 20.0
PING_INTERVAL_MIN_S: Final = 10.0
"""Clients that ping more often are disconnected (after PING_STRIKES_MAX warnings)."""

PING_STRIKES_MAX: Final = 2

UNREQUESTED_S: Final = 5.0
"""A call that nobody takes up within this time is refused by gRPC itself."""

DRAIN_S: Final = 10.0
"""After SIGTERM, calls under way may take this long. Container managers kill after 30 s by default."""

SECONDS_MAX: Final = 86_400.0

RETRY_AFTER_S: Final = 0.25
"""What a refused client is told to wait: ten times what a full queue takes to empty."""

REQUEST_ID_BYTES_MAX: Final = 64

STATUS_BYTES_MAX: Final = 7 * 1024
"""Largest error as it is sent: its message percent-encoded, and once more with its details in base 64. Clients take
8 KiB of trailing metadata, and see nothing of an error that is larger."""

KEYS_MAX: Final = 1_000
KEY_ROTATION_GRACE_S: Final = 86_400.0
"""How long the old secret of a rotated key stays valid."""

DRAIN_QUIET_S: Final = 0.5
"""A stream that waited for its client this long holds no work up when a server stops."""

SECONDS_PER_UNIT: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

STOP_POLL_S: Final = 0.01
"""How often a draining server looks whether the last call is done."""

# --- the services ----------------------------------------------------------------------------------------------------

SEARCH_PIECE_ROWS: Final = 1_024
"""Queries of a batch searched between two looks at whether the caller is still there: at most 0.5 s of work."""

SEARCH_PIECE_EXACT_ROWS: Final = 128
"""As SEARCH_PIECE_ROWS, for queries that are compared with every record."""


# --- the client ------------------------------------------------------------------------------------------------------

CLIENT_TIMEOUT_S: Final = 30.0
"""Longest an ordinary call of a client may take, its repetitions included; three times a read's wait for a write."""

CLIENT_LONG_TIMEOUT_S: Final = 3_600.0
"""The same for calls that work through a collection: optimize, wait_indexed, create_index, verify, backup."""

CONNECT_TIMEOUT_S: Final = 10.0
"""Longest wait for the first answer of a server: it may be starting at this moment, which takes about two seconds."""

CLIENT_RETRIES_DEFAULT: Final = 8
"""Repetitions of a call that found no server: with the pauses below, about seven seconds, in which one restarts."""

CLIENT_RETRIES_MAX: Final = 100

RETRY_PAUSE_S: Final = 0.1
RETRY_PAUSE_MAX_S: Final = 2.0
"""The first pause is drawn from 0 to RETRY_PAUSE_S; each later one from twice as much, up to RETRY_PAUSE_MAX_S."""

RECONNECT_PAUSE_MAX_S: Final = 2.0
"""gRPC would wait up to two minutes before it tries to connect again."""

CLIENT_KEEPALIVE_S: Final = 30.0
"""How often a client pings while calls are under way: more than the PING_INTERVAL_MIN_S that servers allow."""

REQUEST_OVERHEAD_BYTES: Final = 64 * 1024
"""Room left in a message for what is neither vectors, metadata nor ids."""

MODEL_NAME_CHARS_MAX: Final = 512
"""Longest provider, name, revision, prompt or location of an embedding model."""

INGEST_PART_BYTES: Final = 4 * 1024 * 1024
"""Size of the batches that a bulk load is cut into: large enough for few commits, small enough to overlap with them."""


ENGINE_NUMBERS: Final = (
    ("map_bytes", 1 << 20, 1 << 47, "from 1 MiB to 128 TiB, what a process can address"),
    ("threads", 0, THREADS_MAX, f"from 1 to {THREADS_MAX}, or 0 for all cores"),
    ("tail_rows_index", 1, SLOTS_MAX, "rows, 1 or more"),
)
"""The numbers of an EngineConfig: least, most, and what its errors say of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What `vecdb.open` may be told beyond path, mode and durability.

    `threads` is the number of threads for builds and batches; 0 means all cores this process may use.
    `progress` prints one line to stderr while kernels compile on the first start. `index_loads`: index beside bulk
    loads too, and not after them; for who closes the database right after one.
    """

    map_bytes: int = MAP_BYTES_DEFAULT
    threads: int = 0
    background: bool = True
    progress: bool = True
    tail_rows_index: int = TAIL_ROWS_INDEX
    scrub: bool = True
    index_loads: bool = False

    def __post_init__(self) -> None:
        """Errors: InvalidRequestError names the field, what was given, and what it takes."""
        for name, least, most, hint in ENGINE_NUMBERS:
            given = getattr(self, name)
            if isinstance(given, bool) or not hasattr(given, "__index__"):
                raise InvalidRequestError(f"EngineConfig: {name} is {given!r:.40}; give an int, {hint}", option=name)
            if not least <= given <= most:
                raise InvalidRequestError(f"EngineConfig: {name} is {given}; {hint}", option=name)
            object.__setattr__(self, name, int(given))
        for name in ("background", "progress", "scrub", "index_loads"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRequestError(
                    f"EngineConfig: {name} is {getattr(self, name)!r:.40}; give True or False", option=name
                )
