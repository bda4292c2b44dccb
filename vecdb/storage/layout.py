"""Says what kinds of directories there are: databases, the journals of pipelines, and caches of embeddings.

All of them are MANIFEST, LOCK and an LMDB environment, opened, checked and shared by the same code; they differ in
their tables, in how many processes may write, and in what to do when one is damaged.
Concurrency: constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vecdb.config import FORMAT_VERSION
from vecdb.storage.keys import Table, TableSet

__all__ = ["CACHE", "DATABASE", "JOURNAL", "CacheTable", "JournalTable", "Layout"]


class JournalTable(TableSet):
    """The tables of a journal; `vecdb.ingest.journal` says what is in them."""

    STATE = 0
    PARTS = 1
    PART_NAMES = 2
    ITEMS = 3
    MEMBERS = 4
    INTENDED = 5
    FAILURES = 6
    RUNS = 7


class CacheTable(TableSet):
    """The tables of a cache of embeddings; `vecdb.ingest.journal.cache` says what is in them."""

    MODELS = 0
    PLACES = 1
    ROWS = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of directory. `magic` is what its MANIFEST begins with, `noun` what a message calls it.

    `metasync` False: a power cut may undo the last commit, never more and never half of it, which saves one of the two
    waits for the disk. `one_writer` False: processes take turns to write, and LOCK is not held.
    """

    magic: str
    noun: str
    format_version: int
    tables: type[TableSet]
    opening_order: tuple[TableSet, ...]
    remedy: str
    metasync: bool = True
    one_writer: bool = True


DATABASE: Final = Layout(
    magic="vecdb",
    noun="database",
    format_version=FORMAT_VERSION,
    tables=Table,
    opening_order=(  # what an opening reads first comes first
        Table.CATALOG,
        Table.STATE,
        Table.SEGMENTS,
        Table.DEAD,
        Table.CHUNKS,
        Table.COLUMNS,
        Table.TAIL,
        Table.LOG,
        Table.RECORDS,
        Table.IDS,
        Table.TERMS,
    ),
    remedy="restore a backup of the database",
)

JOURNAL: Final = Layout(
    magic="vecdb journal",
    noun="journal of a pipeline",
    format_version=1,
    tables=JournalTable,
    opening_order=tuple(JournalTable),
    remedy=(
        "remove the directory and run again: everything is compared anew, and what the cache has is not paid again; "
        "only what vanished from the sources since the last run stays in the collection"
    ),
)

CACHE: Final = Layout(
    magic="vecdb cache",
    noun="cache of embeddings",
    format_version=1,
    tables=CacheTable,
    opening_order=tuple(CacheTable),
    remedy="remove the directory: what it held is embedded, and paid for, again when it is needed",
    metasync=False,  # what the last call kept may be embedded once more
    one_writer=False,
)
