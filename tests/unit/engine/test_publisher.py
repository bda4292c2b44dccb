"""Views: the writer's, a follower's and a freshly loaded one are equal after any history."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecdb
from tests.unit.engine.filling import CONFIG, DIM, fill, picture, rows
from vecdb.engine import publisher
from vecdb.engine.jobs import Effort
from vecdb.engine.loading import load_view
from vecdb.errors import VecDBError
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Field

FIELDS = {"text": Field(dim=DIM, metric="l2", m=4, ef_construction=8), "image": Field(dim=2, metric="cosine", m=4)}
NAMES = ("first", "second")
IDS = 40
SMALL = replace(CONFIG, tail_rows_index=6)  # so that most histories have segments

KINDS = ["upsert"] * 4 + ["settle"] * 3 + ["delete", "move", "describe", "create", "drop", "optimize"]
KINDS += ["index", "index", "unindex", "expire", "add", "unadd", "switch", "switch", "set", "set", "model"]

Step = tuple[str, str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from(NAMES),
        st.integers(0, 2**16),
    ),
    min_size=6,
    max_size=14,
)


FIELD_CHANGES: dict[str, Callable[[vecdb.Collection], None]] = {
    "add": lambda docs: docs.add_field("other", FIELDS["image"]),
    "unadd": lambda docs: docs.drop_field("other"),
    "switch": lambda docs: docs.switch_field("image", "other"),
    "model": lambda docs: docs.set_model(ModelFingerprint(provider="builtin", name="m", dim=2), "image"),
}


def do(db: vecdb.Database, step: Step) -> None:
    """One operation; refusals are part of the history."""
    kind, name, seed = step
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(IDS)[: rng.integers(1, IDS)].tolist()
    if kind == "create":
        db.create_collection(name, fields=FIELDS, exist_ok=True)
        return
    if kind == "drop":
        db.drop_collection(name)
        return
    docs = db.collection(name)
    if kind == "upsert":
        images: Any = [vector if number % 3 else None for number, vector in enumerate(rows(len(chosen), seed, dim=2))]
        metadata: list[Any] = [{"seed": number % 7, "tags": ["a", "b"][: number % 3]} for number in chosen]
        docs.upsert(chosen, {"text": rows(len(chosen), seed), "image": images}, metadata)
    elif kind == "delete":
        docs.delete(chosen)
    elif kind == "index":
        docs.create_index(*(("seed", "int"), ("tags", "keyword"))[seed % 2])
    elif kind == "unindex":
        docs.drop_index(("seed", "tags")[seed % 2])
    elif kind == "expire":
        docs.update(chosen[0], expires_at=datetime(2999, 1, 1, tzinfo=UTC) if seed % 3 else "never")
    elif kind == "move":
        docs.update(chosen[0], vectors={"image": rows(1, seed, dim=2)[0]})
    elif kind == "describe":
        docs.update(chosen[0], metadata={"seed": seed})
    elif kind == "set":
        docs.set_vectors(chosen, {"image": rows(len(chosen), seed, dim=2)}, skip_changed=True)
    elif kind in FIELD_CHANGES:
        FIELD_CHANGES[kind](docs)
    else:
        effort = Effort.OPTIMIZE if kind == "optimize" else Effort.SETTLE
        with db.indexing() as indexer:
            indexer.settle([docs._schema.number], effort)


@settings(max_examples=30)
@given(steps, st.integers(1, 5))
def test_writer_follower_and_fresh_load_see_the_same(history: list[Step], every: int) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        vecdb.open(directory + "/db", durability="async", config=SMALL) as db,
        vecdb.open(directory + "/db", mode="r", config=CONFIG) as reader,
    ):
        for name in NAMES:
            for kind in ("create", "upsert", "add", "settle"):
                do(db, (kind, name, 3))
        for number, step in enumerate(history):
            try:
                do(db, step)
            except VecDBError:
                pass
            mine = picture(db._publisher.view)
            assert picture(load_view(db._environment)) == mine
            if number % every == 0:  # a follower may take several commits at once
                assert picture(reader._publisher.follow()) == mine
        assert picture(reader._publisher.follow()) == picture(db._publisher.view)


def test_a_follower_far_behind_loads_everything_anew(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "LOG_ENTRIES_KEPT", 3)
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        with vecdb.open(tmp_path / "db", mode="r", config=CONFIG) as reader:
            for number in range(5):
                fill(docs, 2, first=number)
            asked: list[int] = []
            monkeypatch.setattr(publisher.Publisher, "_read_log", lambda *_: asked.append(1))
            assert picture(reader._publisher.follow()) == picture(db._publisher.view)
            assert not asked


def test_a_follower_that_is_up_to_date_keeps_its_view(tmp_path: Any) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        fill(db.create_collection("docs", dim=DIM, metric="l2"), 2)
        with vecdb.open(tmp_path / "db", mode="r", config=CONFIG) as reader:
            assert reader._publisher.follow() is reader._publisher.follow()


def test_an_old_view_does_not_change_when_new_ones_are_published(db: vecdb.Database, docs: vecdb.Collection) -> None:
    fill(docs, 50)
    view = db._publisher.view
    before = picture(view)
    docs.delete([1, 2, 3])
    fill(docs, 60)
    docs.optimize()
    assert picture(view) == before
    assert picture(db._publisher.view) != before
