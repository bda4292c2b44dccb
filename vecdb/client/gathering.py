"""Gathers the writes of a transaction until they are committed together; what both fronts' transactions share.

Promises: what is wrong with a write is said at the call. Nothing is sent before the block ends.
Concurrency: any thread while the block runs.
"""

from __future__ import annotations

import threading
from typing import Literal

from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb.client import methods
from vecdb.client.calling import call
from vecdb.client.plans import Plan
from vecdb.client.session import Caller, new_request_id
from vecdb.client.targets import Target
from vecdb.client.writing import Put, VectorUpdate, Write
from vecdb.config import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from vecdb.errors import LimitExceededError, TransactionEndedError
from vecdb.types import WriteResult


class Gathering:
    """The writes of one transaction."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._lock = threading.Lock()
        self._stage: Literal["new", "open", "ended"] = "new"
        self._request = pb.CommitTransactionRequest(request_id=new_request_id())
        self._records = self._bytes = self._message_bytes = 0
        self._result: WriteResult | None = None

    def begin(self) -> None:
        """The block begins."""
        with self._lock:
            if self._stage != "new":
                raise TransactionEndedError("the transaction was used already; begin another with db.transaction()")
            self._stage = "open"

    def discard(self) -> None:
        """The block was left by an exception: nothing is sent."""
        with self._lock:
            self._stage = "ended"
            self._request = pb.CommitTransactionRequest()

    def commit(self) -> Plan[None]:
        """The block has ended: send it all."""
        with self._lock:
            self._stage = "ended"
            request, self._request = self._request, pb.CommitTransactionRequest()
        reply = yield from call(self._caller, methods.COMMIT, request)
        self._result = WriteResult(seq=self._caller.session.saw(reply.seq), count=reply.count)

    def gather(self, target: Target, write: Write) -> None:
        """Keep a write for the commit; LimitExceededError when all of them would be too large for one."""
        operation = pb.WriteOperation(collection=target.name)
        write.fill(operation)
        records, size = (len(write.batch), write.batch.size_bytes) if isinstance(write, (Put, VectorUpdate)) else (0, 0)
        with self._lock:
            self.check_open()
            records, size = self._records + records, self._bytes + size
            message = self._message_bytes + operation.ByteSize()
            if records > BATCH_RECORDS_MAX or size > BATCH_BYTES_MAX:
                raise LimitExceededError(
                    f"the transaction would have {records} records and {size} bytes of vectors; one takes "
                    f"{BATCH_RECORDS_MAX} and {BATCH_BYTES_MAX}, so split it"
                )
            if message > self._caller.session.room_bytes:
                raise LimitExceededError(
                    f"the transaction would be a message of {message} bytes; the server takes "
                    f"{self._caller.session.room_bytes}, so split it"
                )
            self._request.operations.append(operation)
            self._records, self._bytes, self._message_bytes = records, size, message

    def check_open(self) -> None:
        """Raise TransactionEndedError outside the block."""
        if self._stage != "open":
            raise TransactionEndedError(
                "the transaction is not open: use it inside its `with db.transaction() as tx:` block"
            )

    @property
    def result(self) -> WriteResult:
        """What was committed: the seq, and the records concerned over all collections."""
        if self._result is None:
            raise TransactionEndedError("the transaction has no result: its block has not ended, or it was discarded")
        return self._result
