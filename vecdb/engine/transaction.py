"""The public handle of a transaction: gathers writes to several collections and commits them as one.

Promises: what is wrong with a call is said at the call; all that was gathered is stored with one seq when the block
ends, or nothing of it. What the caller changes after a call (an array, a dict) changes nothing that is stored.
Invariants: a transaction is used for one block; nothing is locked while it gathers, so a long block delays nobody.
Concurrency: the methods may be called from any thread while the block runs.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from vecdb.config import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from vecdb.engine.commit import AllOrNothing
from vecdb.engine.writing import RecordWrites
from vecdb.errors import LimitExceededError, TransactionEndedError

if TYPE_CHECKING:
    from vecdb.engine.commit import RecordOperation
    from vecdb.engine.database import Database
    from vecdb.engine.schema import CollectionSchema
    from vecdb.types import WriteResult


class Transaction:
    """Writes to several collections, stored as one. Get it from `Database.transaction` and use it in a `with` block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._stage: Literal["new", "open", "ended"] = "new"
        self._operations: list[RecordOperation] = []
        self._records = self._bytes = 0
        self._result: WriteResult | None = None

    def __enter__(self) -> Self:
        with self._lock:
            if self._stage != "new":
                raise TransactionEndedError("the transaction was used already; begin another with db.transaction()")
            self._stage = "open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._stage = "ended"
            operations, self._operations = self._operations, []
        if kind is None:
            self._result = self._database.submit(AllOrNothing(operations))

    def collection(self, name: str) -> TransactionCollection:
        """Return the collection to write to within this transaction. CollectionNotFoundError names those that exist."""
        self._check_open()
        return TransactionCollection(self, self._database.schema_of(name))

    @property
    def result(self) -> WriteResult:
        """What was committed: the seq, and the records concerned over all collections."""
        if self._result is None:
            raise TransactionEndedError("the transaction has no result: its block has not ended, or it was discarded")
        return self._result

    def gather(self, operation: RecordOperation) -> None:
        """Keep an operation for the commit; LimitExceededError when all of them would be too large for one."""
        with self._lock:
            self._check_open()
            records, size = self._records + operation.records, self._bytes + operation.vector_bytes
            if records > BATCH_RECORDS_MAX or size > BATCH_BYTES_MAX:
                raise LimitExceededError(
                    f"the transaction would have {records} records and {size} bytes of vectors; one takes "
                    f"{BATCH_RECORDS_MAX} and {BATCH_BYTES_MAX}, so split it"
                )
            self._operations.append(operation.detached())
            self._records, self._bytes = records, size

    def _check_open(self) -> None:
        if self._stage != "open":
            raise TransactionEndedError(
                "the transaction is not open: use it inside its `with db.transaction() as tx:` block"
            )


class TransactionCollection(RecordWrites[None]):
    """A collection within a transaction: writes are checked at the call and stored when the block ends."""

    def __init__(self, transaction: Transaction, schema: CollectionSchema) -> None:
        self._transaction = transaction
        self._declared = schema

    @property
    def _schema(self) -> CollectionSchema:
        return self._declared

    def _submit(self, operation: RecordOperation) -> None:
        self._transaction.gather(operation)
