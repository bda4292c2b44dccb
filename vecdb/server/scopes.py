"""The one table that says what every RPC needs: a scope, and how its request names the collections it is about.

Promises: fail-closed: an RPC that is not in the table is denied to everybody; a test compares the table with the
descriptors of every service that can be served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vecdb.errors import PermissionDeniedError
from vecdb.server.principals import Principal, Scope

PUBLIC: Final = "public"
"""Needs no key at all."""

ANYWHERE: Final = "anywhere"
"""Needs the scope on anything; the servicer leaves out what the principal may not see."""

DATABASE: Final = "database"
"""Needs the scope on the database itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one RPC needs. `about` is PUBLIC, ANYWHERE, DATABASE, or the path of the request's fields with collections.

    A path such as "operations.collection" goes through messages and lists; what is not set names nothing.
    """

    scope: Scope
    about: str

    @property
    def is_public(self) -> bool:
        """True when no key is needed."""
        return self.about == PUBLIC

    @property
    def is_passed_on(self) -> bool:
        """True when another process does the work."""
        return False

    def admit(self, principal: Principal) -> None:
        """Refuse, before the body is received, a principal that no request could help."""
        if self.about == DATABASE:
            principal.require(self.scope)
        elif self.about != PUBLIC and not principal.may_somewhere(self.scope):
            raise PermissionDeniedError(f"the key does not allow {self.scope} on anything", scope=self.scope)

    def check(self, principal: Principal, message: Any) -> None:
        """Refuse a request that names a collection on which the principal has not the scope."""
        if not principal.may(self.scope) and self.about not in {PUBLIC, ANYWHERE, DATABASE}:
            for name in named(message, self.about):
                principal.require(self.scope, name)


DENIED: Final = Rule("admin", DATABASE)
"""Stands for what the table does not name: nobody may, whatever the grants."""


def named(message: Any, path: str) -> Iterator[str]:
    """The texts at `path` of a protobuf message."""
    name, _, rest = path.partition(".")
    value = getattr(message, name)
    if not rest:
        yield value
    elif not hasattr(value, "DESCRIPTOR"):
        for entry in value:
            yield from named(entry, rest)
    elif message.HasField(name):
        yield from named(value, rest)


def _service(name: str, **rules: Rule) -> dict[str, Rule]:
    return {f"/{name}/{method}": rule for method, rule in rules.items()}


ON_COLLECTION = "collection"
READ = Rule("read", ON_COLLECTION)
WRITE = Rule("write", ON_COLLECTION)
ADMIN = Rule("admin", ON_COLLECTION)

RULES: Final[dict[str, Rule]] = {
    **_service(
        "vecdb.v1.CollectionService",
        CreateCollection=Rule("admin", "name"),
        GetCollection=Rule("read", "name"),
        ListCollections=Rule("read", ANYWHERE),
        DeleteCollection=Rule("admin", "name"),
        AddField=ADMIN,
        DropField=ADMIN,
        SwitchField=ADMIN,
        SetModel=ADMIN,
        CreateIndex=ADMIN,
        DropIndex=ADMIN,
        ListIndexes=READ,
    ),
    **_service(
        "vecdb.v1.RecordService",
        UpsertRecords=WRITE,
        InsertRecords=WRITE,
        UpdateRecords=WRITE,
        SetVectors=WRITE,
        DeleteRecords=WRITE,
        CommitTransaction=Rule("write", "operations.collection"),
        GetRecords=READ,
        ListRecords=READ,
        CountRecords=READ,
        FacetRecords=READ,
        AggregateRecords=READ,
    ),
    **_service(
        "vecdb.v1.SearchService",
        Search=READ,
        SearchBatch=READ,
        SearchStream=Rule("read", "search.collection"),
    ),
    **_service("vecdb.v1.IngestService", Ingest=Rule("write", "start.collection")),
    **_service("vecdb.v1.ExportService", Export=READ),
    **_service(
        "vecdb.v1.AdminService",
        GetServerInfo=Rule("read", ANYWHERE),
        GetStats=READ,
        MeasureRecall=READ,
        Calibrate=ADMIN,
        Optimize=ADMIN,
        WaitIndexed=WRITE,
        Verify=Rule("admin", DATABASE),
        ValidateGraphs=ADMIN,
        Backup=Rule("admin", DATABASE),
        Sync=Rule("write", ANYWHERE),
    ),
    **_service(
        "grpc.health.v1.Health",
        Check=Rule("read", PUBLIC),
        List=Rule("read", PUBLIC),
        Watch=Rule("read", PUBLIC),
    ),
    **_service("grpc.reflection.v1alpha.ServerReflection", ServerReflectionInfo=Rule("read", ANYWHERE)),
}
"""Full name of an RPC -> what it needs."""
