"""Re-embedding from Python: the way there and back, and what is no option."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecdb
from tests.unit.ingest.reembedding.models import NEW, make, wrong
from vecdb.errors import InvalidConfigError


def test_the_whole_way_and_back(tmp_path: Path) -> None:
    make(tmp_path, 12)
    moving = vecdb.ingest.Reembedding("docs", to=tmp_path / "db", model=NEW, state=str(tmp_path / "state"))
    assert moving.run().complete
    assert moving.failed() == []
    assert moving.compare(k=3, sample=5).queries == 5
    assert moving.switch().missing == 0
    assert moving.status().stage == "switched"
    assert moving.rollback(now=True).missing == 0
    moving.switch()
    moving.finish()
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert wrong(db.collection("docs"), "default") == []
    assert moving.status().stage == "idle"


def test_a_start_may_be_given_up(tmp_path: Path) -> None:
    make(tmp_path, 3)
    moving = vecdb.ingest.Reembedding("docs", to=tmp_path / "db", model=NEW, state=str(tmp_path / "state"))
    moving.run()
    moving.cancel()
    assert moving.status().beside is None


def test_an_option_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="chunker is no setting of a re-embedding; known are api_key_env"):
        vecdb.ingest.Reembedding("docs", to=tmp_path, chunker="none")  # type: ignore[call-arg]
