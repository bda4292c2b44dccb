"""The fields of a collection on a server, for both fronts: what they are, of which models, and their changes.

Promises: a handle knows the fields as they were when it was made or last changed them; what a name means is up to the
server, so a write through an older handle is right all the same.
Concurrency: as the front that `_change` belongs to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from vecdb.client import collections
from vecdb.client.plans import Plan
from vecdb.client.targets import Target
from vecdb.filters import FilterLike
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Field

Done = TypeVar("Done")
Found = TypeVar("Found")


class CollectionFields(ABC, Generic[Done, Found]):
    """The part of a collection that is about its fields."""

    _target: Target

    @abstractmethod
    def _change(self, make: Callable[[], Plan[Target]]) -> Done:
        """Carry out a change, which `make` checks and makes, and keep the collection as it is then."""

    @abstractmethod
    def _ask(self, plan: Plan[ModelFingerprint | None]) -> Found:
        """Answer a question."""

    @property
    def fields(self) -> dict[str, Field]:
        """Vector fields by name, as this handle knows them; a single unnamed field is called "default"."""
        return dict(self._target.fields)

    @property
    def main_field(self) -> str | None:
        """See `Collection.main_field`; as this handle knows it."""
        return self._target.main_field

    def model(self, field: str | None = None) -> Found:
        """See `Collection.model`."""
        return self._ask(collections.model(self._target, field))

    def set_model(self, model: ModelFingerprint, field: str | None = None) -> Done:
        """See `Collection.set_model`."""
        return self._change(lambda: collections.set_model(self._target, model, field))

    def add_field(self, name: str, field: Field, *, exist_ok: bool = False) -> Done:
        """See `Collection.add_field`."""
        return self._change(lambda: collections.add_field(self._target, name, field, exist_ok=exist_ok))

    def drop_field(self, name: str) -> Done:
        """See `Collection.drop_field`."""
        return self._change(lambda: collections.drop_field(self._target, name))

    def switch_field(self, name: str, to: str, *, keep_as: str | None = None, unless: FilterLike | None = None) -> Done:
        """See `Collection.switch_field`."""
        return self._change(lambda: collections.switch_field(self._target, name, to, keep_as=keep_as, unless=unless))
