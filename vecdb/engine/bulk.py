"""Writes in two steps, for who has many batches at hand: check each, then commit several in one go.

Promises: what is wrong with a batch is said when it is prepared; prepared ones are committed in their order.
Concurrency: one thread may prepare while another commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecdb.engine.writing import RecordWrites

if TYPE_CHECKING:
    from vecdb.engine.commit import RecordOperation
    from vecdb.engine.database import Database
    from vecdb.engine.schema import CollectionSchema
    from vecdb.errors import VecDBError
    from vecdb.types import WriteResult


class BulkWrites(RecordWrites["RecordOperation"]):
    """A collection whose upsert, insert, update and delete return a checked operation, for `commit` to store."""

    def __init__(self, database: Database, name: str) -> None:
        """CollectionNotFoundError names the collections that exist; ReadOnlyError where nothing can be written."""
        database.check_writable()
        self._database = database
        self._name, self._number = name, database.schema_of(name).number

    @property
    def _schema(self) -> CollectionSchema:
        with self._database.reading() as view:
            return view.collection(self._number, self._name).schema

    def _submit(self, operation: RecordOperation) -> RecordOperation:
        return operation

    def commit(self, operations: Sequence[RecordOperation]) -> list[WriteResult | VecDBError]:
        """Store operations in order, as many in one commit as can be; each is all or nothing by itself.

        Returns the result or the error of each.
        """
        return self._database.submit_all(operations)
