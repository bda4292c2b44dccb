"""Says who may do what: scopes, grants and principals.

Scopes are read < write < admin, each with all of the one before. A grant gives a scope on one collection, or on `*`:
every collection and the database itself.
Promises: what no grant allows is denied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from vecdb.errors import PermissionDeniedError

Scope: TypeAlias = Literal["read", "write", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")
EVERYTHING: Final = "*"
RANK: Final = {scope: rank for rank, scope in enumerate(SCOPES)}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a call: the id of a key (or what stands for one) and its grants, collection -> scope."""

    id: str
    grants: Mapping[str, Scope]

    def may(self, scope: Scope, collection: str | None = None) -> bool:
        """True when `scope` is granted on `collection`; None stands for the database itself."""
        return self._granted(EVERYTHING, scope) or (collection is not None and self._granted(collection, scope))

    def may_somewhere(self, scope: Scope) -> bool:
        """True when `scope` is granted on anything at all."""
        return self._granted(EVERYTHING, scope) or any(RANK[one] >= RANK[scope] for one in self.grants.values())

    def require(self, scope: Scope, collection: str | None = None) -> None:
        """Raise PermissionDeniedError unless `may`. The text is the same whether the collection exists or not."""
        if not self.may(scope, collection):
            where = "the database" if collection is None else f"collection {collection!r:.80}"
            raise PermissionDeniedError(f"the key does not allow {scope} on {where}", scope=scope)

    def _granted(self, name: str, scope: Scope) -> bool:
        granted = self.grants.get(name)
        return granted is not None and RANK[granted] >= RANK[scope]


LOCAL: Final = Principal("local", {EVERYTHING: "admin"})
"""Whoever can reach a server that asks for no keys."""

NOBODY: Final = Principal("-", {})
"""Whoever has not shown a key: allowed what is public."""
