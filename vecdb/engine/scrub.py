"""Reads chunks in the background, a little at a time, to notice damage before a search or a merge relies on it.

Promises: cheap (SCRUB_BYTES per SCRUB_INTERVAL_S) and harmless: nothing is changed; what is found is logged and kept in
`problems`. One pass follows the other for as long as the database is open.
Concurrency: driven by the indexer's thread; `problems` may be read from any thread.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vecdb.config import PROBLEMS_MAX, SCRUB_BYTES
from vecdb.errors import StorageError
from vecdb.storage.chunks import check_chunk
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.storage.environment import Environment

log = logging.getLogger("vecdb.scrub")


class Scrubber:
    """Walks the chunks table round and round."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._next_key = b""
        self.problems: tuple[str, ...] = ()

    def step(self) -> None:
        """Check the next SCRUB_BYTES of chunks; at the end of the table begin anew."""
        checked, start, self._next_key = 0, self._next_key, b""
        try:
            with self._environment.begin_read() as txn:
                for key, value in txn.items(Table.CHUNKS, start):
                    if checked >= SCRUB_BYTES:
                        self._next_key = key
                        return
                    checked += len(value)
                    self._check(key, value)
        except StorageError as error:
            # The table itself is damaged: noted, and indexing goes on.
            self._note(error)

    def _check(self, key: bytes, value: memoryview) -> None:
        try:
            check_chunk(key, value)
        except StorageError as error:
            self._note(error)

    def _note(self, error: StorageError) -> None:
        if str(error) not in self.problems and len(self.problems) < PROBLEMS_MAX:
            self.problems = (*self.problems, str(error))
            log.error("%s", error)
