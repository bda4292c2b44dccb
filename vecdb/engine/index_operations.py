"""Creates and drops metadata indexes, and drives their building.

Promises: creating is one small commit, whatever is stored; the records already there are added a few blocks at a time,
in commits that others' writes go in between. An index answers from the commit on that completes it; one that was
interrupted is completed after the next open. Dropping takes effect at once; its bytes are swept afterwards.
Concurrency: operations are run by the thread that commits; `build_index` by any thread, or several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import msgspec

from vecdb.config import BLOCK_SLOTS, INDEXES_MAX
from vecdb.engine.index_writing import BuildBlocks
from vecdb.engine.state import IndexState
from vecdb.errors import IndexExistsError, IndexNotFoundError, LimitExceededError
from vecdb.types import IndexKind

if TYPE_CHECKING:
    from vecdb.engine.commit import Commit
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.view import CollectionView
    from vecdb.engine.writer import Writer


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Enters an index into the state of a collection; it is ready at once when nothing is stored yet."""

    schema: CollectionSchema
    path: str
    kind: IndexKind

    def apply(self, commit: Commit) -> int:
        """Number the index; returns its number."""
        state = commit.state(self.schema.number, self.schema.name)
        if any((index.path, index.kind) == (self.path, self.kind) for index in state.indexes):
            raise IndexExistsError(
                f"collection {self.schema.name!r} has a {self.kind} index of {self.path!r:.80} already; pass "
                "exist_ok=True to keep it",
                collection=self.schema.name,
                path=self.path,
            )
        if len(state.indexes) >= INDEXES_MAX:
            raise LimitExceededError(
                f"collection {self.schema.name!r} has {INDEXES_MAX} indexes, the most possible; drop one first",
                collection=self.schema.name,
            )
        index = IndexState(number=state.next_index, path=self.path, kind=self.kind, ready=state.next_slot == 0)
        commit.states[self.schema.number] = msgspec.structs.replace(
            state, indexes=(*state.indexes, index), next_index=state.next_index + 1
        )
        commit.change(self.schema.number)
        return index.number


@dataclass(frozen=True, slots=True)
class DropIndex:
    """Removes the indexes of a path, of one kind or of all, from the state of a collection."""

    FREES_ROOM: ClassVar[bool] = True

    schema: CollectionSchema
    path: str
    kind: IndexKind | None

    def apply(self, commit: Commit) -> int:
        """Forget them; returns how many there were. IndexNotFoundError names those that exist."""
        state = commit.state(self.schema.number, self.schema.name)
        kept = tuple(index for index in state.indexes if not self._is_meant(index))
        if len(kept) == len(state.indexes):
            known = ", ".join(f"{index.path!r:.40} ({index.kind})" for index in state.indexes) or "none"
            raise IndexNotFoundError(
                f"collection {self.schema.name!r} has no{' ' + self.kind if self.kind else ''} index of "
                f"{self.path!r:.80}; there are: {known}",
                collection=self.schema.name,
                path=self.path,
            )
        commit.states[self.schema.number] = msgspec.structs.replace(state, indexes=kept)
        commit.change(self.schema.number)
        return len(state.indexes) - len(kept)

    def _is_meant(self, index: IndexState) -> bool:
        return index.path == self.path and self.kind in {None, index.kind}


def build_index(
    writer: Writer,
    schema: CollectionSchema,
    number: int,
    current: Callable[[], CollectionView | None],
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Build an index to the end (or until `stopped`). `progress(done, total)` counts record versions."""
    while not stopped():
        built = writer.submit(BuildBlocks(schema, number)).count
        view = current()
        total = 0 if view is None else view.state.next_slot
        if progress is not None:
            progress(min(built * BLOCK_SLOTS, total) if built else total, total)
        if not built or view is None:
            return
