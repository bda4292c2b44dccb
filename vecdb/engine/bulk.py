"""Writes in two steps, for who has many batches at hand: check each, then commit several in one go.

Promises: what is wrong with a batch is said when it is prepared; prepared ones are committed in their order.
Concurrency: one thread may prepare while another commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecdb.engine.bulk_operations import SwapRecords
from vecdb.engine.operations import DeleteRecords, PutRecords
from vecdb.engine.validate import check_lookup
from vecdb.engine.writing import RecordWrites
from vecdb.errors import DuplicateIdError
from vecdb.storage.keys import id_from_key

if TYPE_CHECKING:
    from vecdb.engine.commit import RecordOperation
    from vecdb.engine.database import Database
    from vecdb.engine.schema import CollectionSchema
    from vecdb.errors import VecDBError
    from vecdb.types import RecordId, WriteResult


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

    def swapped(self, put: RecordOperation, ids: Sequence[RecordId]) -> RecordOperation:
        """The upsert or insert `put` with the deletion of other records, in one commit; its count is of `put` alone.

        Ids that do not exist are passed over; DuplicateIdError when one is among those that are stored.
        """
        assert isinstance(put, PutRecords)  # what upsert and insert of this class return
        keys = list(dict.fromkeys(check_lookup(ids)))
        both = set(keys).intersection(put.keys)
        if both:
            raise DuplicateIdError(
                f"id {id_from_key(min(both))!r:.80} is among the records of the batch and among those to delete; "
                "keep it in one of the two"
            )
        return SwapRecords(put, DeleteRecords(self._schema, keys))

    def commit(self, operations: Sequence[RecordOperation]) -> list[WriteResult | VecDBError]:
        """Store operations in order, as many in one commit as can be; each is all or nothing by itself.

        Returns the result or the error of each.
        """
        return self._database.submit_all(operations)
