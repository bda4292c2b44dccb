"""Remembers which deliveries are under way: what the table of intended ones holds, for its writer.

Invariants: an item is in one intent at most; an intent that has no item left is gone.
Concurrency: one thread at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

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

    def take(self, keys: Iterable[bytes]) -> tuple[list[ItemWrite | None], list[int]]:
        """Take items out; each item that was there, and the numbers of the intents that are gone with them."""
        pop = self._items.pop
        found = [pop(key, None) for key in keys]
        gone = []
        for number, count in Counter([one[0] for one in found if one is not None]).items():
            self._left[number] -= count
            if not self._left[number]:
                del self._left[number]
                gone.append(number)
        return [None if one is None else one[1] for one in found], gone
