"""Checks conditions of writes: `if_version` says which version a record must have, 0 that there must be none.

Promises: one record of another version refuses the whole
operation, by an error that names the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecdb.errors import VersionConflictError
from vecdb.storage.keys import id_from_key

if TYPE_CHECKING:
    from vecdb.engine.schema import CollectionSchema

IDS_IN_MESSAGE = 5


def check_versions(
    schema: CollectionSchema, id_keys: Sequence[bytes], expected: Sequence[int | None], found: Sequence[int]
) -> None:
    """VersionConflictError unless each record has the version expected of it (None: any)."""
    rows = zip(id_keys, expected, found, strict=True)
    wrong = [(key, wanted, version) for key, wanted, version in rows if wanted is not None and wanted != version]
    if not wrong:
        return
    ids = [id_from_key(key) for key, _, _ in wrong[:IDS_IN_MESSAGE]]
    named = ", ".join(
        f"{record_id!r:.80} expected {wanted}, found {version}"
        for record_id, (_, wanted, version) in zip(ids, wrong, strict=False)
    )
    raise VersionConflictError(
        f"{len(wrong)} of {len(id_keys)} records of {schema.name!r} have another version than if_version says "
        f"({named}{', …' if len(wrong) > IDS_IN_MESSAGE else ''}; 0 is no record); nothing was changed, so read them "
        "again and repeat",
        collection=schema.name,
        ids=ids,
        count=len(wrong),
    )
