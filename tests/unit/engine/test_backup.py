"""A backup holds sound values only, unless it is asked to take what there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vecdb
from tests.unit.engine.filling import damage_chunk, damage_record, fill
from vecdb.errors import CorruptionError

both_ways = pytest.mark.parametrize("compact", [False, True])


@both_ways
@pytest.mark.parametrize("damage", [damage_chunk, damage_record])
def test_a_damaged_value_is_named_and_no_backup_made(
    db: vecdb.Database,
    docs: vecdb.Collection,
    tmp_path: Path,
    damage: Callable[[vecdb.Database], object],
    compact: bool,
) -> None:
    fill(docs, 50)
    docs.optimize()
    damage(db)
    with pytest.raises(
        CorruptionError, match="no backup was made, for a stored value does not match its checksum"
    ) as e:
        db.backup(tmp_path / "copy", compact=compact)
    assert e.value.details["table"] in {"chunks", "records"}
    assert list(tmp_path.iterdir()) == []


@both_ways
def test_damage_is_copied_for_who_asks_for_it(
    db: vecdb.Database, docs: vecdb.Collection, tmp_path: Path, compact: bool
) -> None:
    fill(docs, 50)
    docs.optimize()
    damage_chunk(db)
    db.backup(tmp_path / "copy", compact=compact, check=False)
    with vecdb.open(tmp_path / "copy", mode="r") as copy:
        assert copy.collection("docs").count() == 50
        assert len(copy.verify().problems) == 1
