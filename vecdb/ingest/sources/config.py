"""Every limit and default of reading sources, with the reason for its value."""

from __future__ import annotations

from typing import Final

TEXT_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A text, Markdown or HTML file read as one document: larger ones are data, and belong in JSON Lines."""

CODE_FILE_BYTES_MAX: Final = 1024 * 1024
"""A file of source code: what is larger was generated."""

PDF_FILE_BYTES_MAX: Final = 256 * 1024 * 1024
IMAGE_FILE_BYTES_MAX: Final = 64 * 1024 * 1024

ITEM_TEXT_CHARS_MAX: Final = 32 * 1024 * 1024
"""The text of one item; cutting it into chunks takes about 20 bytes of memory a character."""

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A line of JSON Lines, and a field of CSV."""

JSON_DEPTH_MAX: Final = 64
"""Nesting of a row: four times what metadata may have, which is checked afterwards with a better message."""

TABLE_COLUMNS_MAX: Final = 4_096

BATCH_ROWS: Final = 1_024
"""Rows of a table or vectors of an array that are in memory at a time."""

PDF_PAGES_MAX: Final = 50_000


INFLATED_BYTES_FREE: Final = 64 * 1024 * 1024
"""A compressed file may unpack to this much whatever its ratio."""

INFLATED_RATIO_MAX: Final = 200
"""Beyond that, text compresses up to about 20 times, logs up to 100; a bomb over 1,000 times."""

READ_BYTES: Final = 1024 * 1024
"""Piece in which files are read for their hash."""

FOLDER_DEPTH_MAX: Final = 64
FOLDER_FILES_MAX: Final = 5_000_000
"""Entries looked at in one folder and below; their names are in memory for sorting, one folder at a time."""

IGNORE_FILE_BYTES_MAX: Final = 1024 * 1024

IMAGE_HEADER_BYTES: Final = 256 * 1024
"""Where the size of an image is looked for: JPEG has it behind its profile and thumbnails."""

SETTLE_NS: Final = 2_000_000_000
"""A file changed this recently may change again within the grain of its clock: it is read again next time."""

SPEC_CHARS_MAX: Final = 64 * 1024
"""Text that names a source, a query among it."""

ID_HASH_BYTES: Final = 16
CONTENT_HASH_BYTES: Final = 16

IDS_RECENT_MAX: Final = 16_384
"""Ids kept in a set before they join the sorted ones (16 bytes each), in the search for duplicates."""

VECTOR_DIM_MAX: Final = 65_536
"""Components of a precomputed vector; a damaged header says billions."""

SHOWN_CHARS_MAX: Final = 80
"""How much of a user's value is shown in a message."""

TITLE_CHARS_MAX: Final = 500
FRONT_MATTER_LINES_MAX: Final = 100
HTML_TAG_CHARS_MAX: Final = 64 * 1024
"""Longest tag looked at: data: URLs are the reason for long ones, and are of no interest."""
