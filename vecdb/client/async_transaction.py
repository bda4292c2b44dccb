"""A transaction of the front for coroutines.

Promises: as `gathering`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vecdb.client import collections
from vecdb.client.gathering import Gathering
from vecdb.client.session import Caller
from vecdb.client.targets import Target
from vecdb.client.writing import RecordWrites, Write
from vecdb.types import WriteResult

if TYPE_CHECKING:
    from vecdb.client.async_transport import AsyncTransport


class AsyncTransaction:
    """Writes to several collections, stored as one; from `AsyncDatabase.transaction`, for an `async with` block."""

    def __init__(self, transport: AsyncTransport, caller: Caller) -> None:
        self._transport = transport
        self._caller = caller
        self._gathering = Gathering(caller)

    async def __aenter__(self) -> Self:
        self._transport.check_open()
        self._gathering.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._transport.run(self._gathering.commit())
        else:
            self._gathering.discard()

    async def collection(self, name: str) -> AsyncTransactionCollection:
        """The collection to write to within this transaction. CollectionNotFoundError names those that exist."""
        self._gathering.check_open()
        target = await self._transport.run(collections.find(self._caller, name))
        return AsyncTransactionCollection(self._gathering, target)

    @property
    def result(self) -> WriteResult:
        """What was committed: the seq, and the records concerned over all collections."""
        return self._gathering.result


class AsyncTransactionCollection(RecordWrites[Coroutine[Any, Any, None]]):
    """A collection within a transaction: writes are checked at the call and stored when the block ends."""

    def __init__(self, gathering: Gathering, target: Target) -> None:
        self._gathering = gathering
        self._target = target

    async def _submit(self, make: Callable[[], Write]) -> None:
        self._gathering.gather(self._target, make())
