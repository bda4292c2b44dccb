"""Every limit and default of cutting texts into chunks, with the reason for its value."""

from __future__ import annotations

from typing import Final

CHUNK_TOKENS_DEFAULT: Final = 256
"""What all-MiniLM-L6-v2 was trained to read; longer chunks say less exactly what they are about."""

CHUNK_TOKENS_MIN: Final = 8
CHUNK_TOKENS_MAX: Final = 100_000
OVERLAP_TOKENS_DEFAULT: Final = 32
"""An eighth of a chunk: a sentence or two."""

UNIT_CHARS_MAX: Final = 32
"""Characters that count as one token at most, whatever the tokenizer says: a word without end is still cut."""

COUNT_CHARS: Final = 64 * 1024
"""Piece of a text handed to the tokenizer at once: its offsets take some 100 bytes a token."""

FILL_MIN: Final = 0.25
"""A chunk is filled to this part before it may end at a paragraph or line instead of where it is full."""

PYTHON_SOURCE_CHARS_MAX: Final = 1024 * 1024
"""Larger sources are cut by their lines: the syntax tree takes 100 times their size."""

ABBREVIATION_CHARS_MAX: Final = 12

HEADING_CHARS_MAX: Final = 300
"""Length of one entry of a heading path; it is repeated in every chunk below it."""

HEADING_LEVELS_MAX: Final = 16

ID_HASH_BYTES: Final = 12
"""Hash in the ids of chunks whose source's id leaves no room for a number."""
