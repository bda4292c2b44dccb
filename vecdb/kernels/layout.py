"""Names the int64 fields of the two descriptors kernels read: the plan of a segment and the scratch of a thread.

A kernel gets one address for everything that is fixed (plan) and one for everything it may overwrite (scratch); each
constant is the byte offset of a field. A column takes three fields: address of its chunk table, shift, stride.

Invariants: plans are read-only for kernels; a scratch belongs to one call at a time. Needs neither numba nor numpy.
"""

from __future__ import annotations

from typing import Final

from vecdb.config import SIGN_BLOCK

# --- plan: what is searched or built --------------------------------------------------------------------------------

ROWS: Final = 0
DIM: Final = 8
PADDED: Final = 16  # components of a code row, a multiple of 64
METRIC: Final = 24
HALF: Final = 32  # 1: vectors are float16
VECTORS: Final = 40
NORMS: Final = 64  # inverse norms, float32; table 0 when there are none
CODES: Final = 88
LINKS: Final = 112
SLOTS: Final = 136
UPPER_ROWS: Final = 160
UPPER_DOWN: Final = 184
UPPER_LINKS: Final = 208
DEGREE: Final = 232  # links per row at level 0
UPPER_DEGREE: Final = 240
LEVELS: Final = 248  # number of upper levels
ENTRY: Final = 256  # upper number, or row when LEVELS is 0
QUERY_FACTOR: Final = 264  # float64: code units per unit of a (for cosine and dot: normalised) query component
QUERY_CLIP: Final = 272
CENTER: Final = 280  # address of float32 (dim,), subtracted from l2 queries
EF_BUILD: Final = 288  # candidates of a new row, a multiple of 8
CHOSEN_MAX: Final = 296  # links a new row starts with: 2 m at level 0, m above
FALLBACK: Final = 304  # a row that is always in the graph being built
READY: Final = 312  # address of a byte per row: 1 when the row is in the graph being built
ALPHA: Final = 320  # pruning slack in 1/64
UPPER_ROW_COUNT: Final = 328  # nodes of all upper levels
AUGMENTED: Final = 336  # first component of the dot augmentation; 0: there is none
AUGMENTED_COUNT: Final = 344  # its components, all of one value
PACKED: Final = 352  # packed rows (see `packing`); table 0 when there are none
ROTATION: Final = 376  # address of the int32 masks of the rotation, two rounds of `padded`
SKETCHES: Final = 384  # sketches (see `sketches`); table 0 when there are none
AHEAD_ROWS: Final = 408  # rows of a scan that are asked for before they are compared
AHEAD_SKETCHES: Final = 416  # the same for sketches
EXPAND_BUILD: Final = 424  # how many of the EF_BUILD candidates of a new row are expanded
PLAN_WORDS: Final = 56

METRIC_COSINE: Final = 0
METRIC_DOT: Final = 1
METRIC_L2: Final = 2
METRIC_NUMBERS: Final = {"cosine": METRIC_COSINE, "dot": METRIC_DOT, "l2": METRIC_L2}

# --- scratch: what a call overwrites --------------------------------------------------------------------------------

VISITED: Final = 0  # bitset over rows, all zero between calls
VISITED_BYTES: Final = 8
SEEN: Final = 16  # int32 rows met, in order: work list and undo list
POOL: Final = 24  # int64 keys: distance << 32 | row << 1 | expanded
POOL_MAX: Final = 32  # keys the pool may hold
QUERY_CODES: Final = 40  # int16 (padded,)
QUERY: Final = 48  # float32 (dim,): the prepared query
BEST: Final = 56  # int64 keys of the results: float_order(distance) << 32 | slot
SEEN_COUNT: Final = 64  # out: rows scored by the last search
CHOSEN: Final = 72  # int32 rows chosen by pruning
BEST_ROWS: Final = 80  # int32 row of each result key
ROTATED: Final = 88  # int32 (padded,): a rotated query or residual
ROTATION_ROOM: Final = 96  # int32 (padded,)
TABLES: Final = 104  # look-up tables of the query (see `tables_bytes`); while packing int32 (padded,)
ESTIMATES: Final = 112  # int32 (32,): estimated distances of the neighbours of one row
RESULTS: Final = 120  # int64 keys of the best rows by their codes, as in the pool
SCRATCH_WORDS: Final = 16
GUARD: Final = 64  # bytes in front of the sorted keys of a packed search, for the least key

ROW_BITS: Final = 0xFFFFFFFF

# --- packed rows ----------------------------------------------------------------------------------------------------

GROUP: Final = 4  # components whose signs are looked up together
GROUP_BYTES: Final = 16  # signs of a block of neighbours in a group, and the table of a group

CHECKED_PADDED: Final = 128
"""Codes of at most so many bytes are compared before a row enters the pool. Microseconds at recall .95, .98, .99 and
.995, estimated and checked: 128 components (sift-like, 200,000 rows) 15, 23, 32, 48 and 15, 20, 25, 32; 384 (wordnet-
minilm) 16, 25, 34, 50 and 20, 27, 35, 43."""


SEXTET: Final = 6  # components whose signs are looked up together in copies of sketches,
SEXTET_BYTES: Final = 64  # signs of a block of 64 rows in such a group, and its table (see `sextets`)


def sextets(padded: int) -> int:
    """How many groups of 6 components there are; the last may be less than full."""
    return -(-padded // SEXTET)


def tables_bytes(padded: int) -> int:
    """Bytes of the look-up tables of a query: the larger of 16 for 4 components and 64 for 6."""
    return SEXTET_BYTES * sextets(padded)


A_BYTES: Final = 4  # bytes in front of A in a packed row behind its codes, for each link: the links,
W_BYTES: Final = 6  # in front of W: also A, float16,
SIGNS_BYTES: Final = 8  # in front of the signs: also W, float16

A_UNIT: Final = 32_768.0
"""What an A of 1 stands for in a packed row: the distances of codes, up to 2^31, fit float16 so. An estimate is off by
.05 % of A and of W at most, where signs of 1,000 components are off by 3 % of a residual."""


def packed_stride(padded: int, degree: int) -> int:
    """Bytes of a packed row: codes, links, two float16 for each neighbour, and the signs of the neighbours."""
    return padded + SIGNS_BYTES * degree + degree // SIGN_BLOCK * (padded // GROUP) * GROUP_BYTES


NARROW: Final = 32  # bytes of a sketch that is so short
WIDE: Final = 64  # others come in cache lines


SPARE_ESTIMATES: Final = 64  # room behind estimates, which are made so many at once
AT_A_TIME: Final = 64  # rows of a scan by sketches that are fetched together before they are compared


def sketch_stride(padded: int) -> int:
    """Bytes of a sketch: a bit for each component and two float32, then zeros."""
    size = padded // 8 + 8
    return NARROW if size <= NARROW else -(-size // WIDE) * WIDE


def sketch_block_bytes(padded: int) -> int:
    """Bytes of the sketches of SIGN_BLOCK rows side by side: two float32 and a bit for each component."""
    return SIGN_BLOCK * (8 + padded // 8)


def sextet_block_bytes(padded: int) -> int:
    """Bytes of the sketches of 64 rows side by side: two float32 and a byte for 6 components."""
    return SEXTET_BYTES * (8 + sextets(padded))


# --- filters: what both sides of their kernels count on -------------------------------------------------------------

BLOCK_WORDS: Final = 32  # words of a bitmap over the slots of a block of a column
IN_RANGE: Final = 0  # what `match_column` looks for: keys of a range,
IN_CODES: Final = 1  # keys whose bits are set,
IN_KEYS: Final = 2  # keys of a sorted list
SHARE_UNIT: Final = 1 << 16  # the share of kept rows is an integer of these
STATS: Final = 4  # int32 figures of each query: rows scored, rows whose links were followed, kept rows, how it went:
ENOUGH: Final = 0  # as far as the share of kept rows around the query asks for,
TOO_LITTLE: Final = 1  # not so far,
AMONG_KEPT: Final = 2  # by a walk among kept rows
SPARSEST_KEPT: Final = 3  # a walk by signs needs one in so many of the links of kept rows to lead to kept rows

# --- ids ------------------------------------------------------------------------------------------------------------

UUID_EXTENSION: Final = 3  # type of the extension of msgpack that a UUID is written as
