"""Which old states of the file a process keeps open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import vecdb
from tests.conformance.small import SMALL
from vecdb.engine.lifecycle import outdated_pin


def test_a_read_under_way_pins_the_state_it_began_with_once_there_is_a_newer_one(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=SMALL) as database:
        docs = database.create_collection("docs", dim=2)
        held = database._environment.begin_read()
        docs.upsert(["a"], np.ones((1, 2), dtype=np.float32))
        assert outdated_pin(database) == held.txn_id
        held.close()
        assert outdated_pin(database) is None
