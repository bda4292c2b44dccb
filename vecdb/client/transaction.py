"""A transaction of the front for threads.

Promises: as `gathering`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vecdb.client import collections
from vecdb.client.gathering import Gathering
from vecdb.client.session import Caller
from vecdb.client.targets import Target
from vecdb.client.writing import RecordWrites, Write
from vecdb.types import WriteResult

if TYPE_CHECKING:
    from vecdb.client.transport import Transport


class RemoteTransaction:
    """Writes to several collections, stored as one; from `RemoteDatabase.transaction`, to be used in a `with` block."""

    def __init__(self, transport: Transport, caller: Caller) -> None:
        self._transport = transport
        self._caller = caller
        self._gathering = Gathering(caller)

    def __enter__(self) -> Self:
        self._transport.check_open()
        self._gathering.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._transport.run(self._gathering.commit())
        else:
            self._gathering.discard()

    def collection(self, name: str) -> RemoteTransactionCollection:
        """The collection to write to within this transaction. CollectionNotFoundError names those that exist."""
        self._gathering.check_open()
        target = self._transport.run(collections.find(self._caller, name))
        return RemoteTransactionCollection(self._gathering, target)

    @property
    def result(self) -> WriteResult:
        """What was committed: the seq, and the records concerned over all collections."""
        return self._gathering.result


class RemoteTransactionCollection(RecordWrites[None]):
    """A collection within a transaction: writes are checked at the call and stored when the block ends."""

    def __init__(self, gathering: Gathering, target: Target) -> None:
        self._gathering = gathering
        self._target = target

    def _submit(self, make: Callable[[], Write]) -> None:
        self._gathering.gather(self._target, make())
