"""Remembers which deliveries are under way: what the table of intended ones holds, for its writer.

Invariants: an item is in one intent at most; an intent that has no item left is gone.
Concurrency: one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

from vecdb.ingest.journal.states import ItemWrite


class Intents:
    """Items that are about to be stored, by the keys of items, with the number of their intent."""

    def __init__(self) -> None:
        self._items: dict[bytes, tuple[int, ItemWrite]] = {}
        self._left: dict[int, int] = {}
        self._next = 0

    def copy(self) -> Intents:
        """Another one, to be changed in a transaction that may fail."""
        made = Intents()
        made._items, made._left, made._next = self._items.copy(), self._left.copy(), self._next
        return made

    def add(self, items: Mapping[bytes, ItemWrite]) -> int:
        """A new intent; returns its number. None of the items may be in another one."""
        number = self._next
        self._next += 1
        self._items.update((key, (number, item)) for key, item in items.items())
        self._left[number] = len(items)
        return number

    def take(self, key: bytes) -> tuple[ItemWrite | None, int | None]:
        """Take an item out; the item, if it was there, and the number of its intent, if that is gone with it."""
        found = self._items.pop(key, None)
        if found is None:
            return None, None
        number, item = found
        left = self._left[number] - 1
        if left:
            self._left[number] = left
            return item, None
        del self._left[number]
        return item, number
